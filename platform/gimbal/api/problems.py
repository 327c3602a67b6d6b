"""Errors as `application/problem+json` (RFC 9457), from every place an error can come from.

A problem says what the caller may know. Anything unforeseen says only its trace id, under which
the service's own log has the traceback.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.types import Scope

from gimbal.api.text import cleaned
from gimbal.errors import ConfigError, GimbalError
from gimbal.jobs.model import IllegalTransition, JobNotFound, Stale
from gimbal.jobs.store_errors import BadQuery, CardHeld, KeyReused, StoreUnavailable, TokenExists

MEDIA_TYPE = "application/problem+json"
TRACE_KEY = "gimbal.trace_id"
"""Where the ASGI scope has the request's trace id."""
_SHOWN = 50
_STATUS_OF: tuple[tuple[type[GimbalError], int, str], ...] = (
    (JobNotFound, 404, "not_found"),
    (IllegalTransition, 409, "job_is_terminal"),
    (Stale, 409, "changed_meanwhile"),
    (KeyReused, 409, "idempotency_key_reused"),
    (CardHeld, 409, "card_held"),
    (TokenExists, 409, "token_exists"),
    (BadQuery, 400, "bad_query"),
    (StoreUnavailable, 503, "store_unavailable"),
    (ConfigError, 422, "invalid_config"),
)
_LOCATION = {"query": "?", "path": "path:", "header": "header:"}


class ApiProblem(HTTPException):
    """A refusal.

    Args:
        status: HTTP status.
        code: Stable word for programs.
        detail: What is wrong.
        remedy: What to do or write instead.
        errors: Pairs of pointer and message, one for each thing that is wrong.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        remedy: str = "",
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.remedy = remedy
        self.errors = tuple(errors)


def problem_response(scope: Scope, problem: ApiProblem) -> Response:
    """Return the answer that tells of a problem."""
    errors = [{"pointer": where, "message": cleaned(what)} for where, what in problem.errors]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(problem.status_code),
        "status": problem.status_code,
        "detail": cleaned(problem.detail),
        "instance": cleaned(scope.get("path", "")),
        "code": problem.code,
        "remedy": cleaned(problem.remedy),
        "errors": errors[:_SHOWN],
        "trace_id": scope.get(TRACE_KEY, ""),
    }
    content = json.dumps(body).encode()
    return Response(content, problem.status_code, dict(problem.headers or {}), MEDIA_TYPE)


def of_gimbal_error(error: GimbalError) -> ApiProblem:
    """Return the problem that an error raised below the API is to its caller."""
    status, code = next(
        ((status, code) for kind, status, code in _STATUS_OF if isinstance(error, kind)),
        (400, "refused"),
    )
    headers = {"Retry-After": "5"} if status == 503 else None
    return ApiProblem(status, code, error.message, remedy=error.remedy, headers=headers)


def pointer(*parts: Any) -> str:
    """Return an RFC 6901 pointer."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def install_handlers(app: FastAPI) -> None:
    """Have every error the app raises answered as a problem."""
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(GimbalError, _on_gimbal)


async def _on_http(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiProblem):
        return problem_response(request.scope, error)
    status = getattr(error, "status_code", 500)
    codes = {404: "not_found", 405: "method_not_allowed"}
    words = {
        404: "there is nothing at that address",
        405: f"{request.method} is not possible there",
    }
    problem = ApiProblem(
        status,
        codes.get(status, "refused"),
        words.get(status, str(getattr(error, "detail", ""))),
        remedy="see /v1/openapi.json",
        headers=getattr(error, "headers", None),
    )
    return problem_response(request.scope, problem)


async def _on_gimbal(request: Request, error: Exception) -> Response:
    assert isinstance(error, GimbalError)  # registered for it alone
    return problem_response(request.scope, of_gimbal_error(error))


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # registered for it alone
    errors = [(_where(item["loc"]), _what(item)) for item in error.errors()]
    problem = ApiProblem(
        422,
        "invalid_request",
        "the request does not fit what is expected there",
        remedy="correct what `errors` names; see /v1/openapi.json",
        errors=errors,
    )
    return problem_response(request.scope, problem)


def _where(location: Sequence[Any]) -> str:
    kind, *path = location or ("body",)
    if kind == "body":
        return pointer(*path)
    return f"{_LOCATION.get(kind, '')}{'.'.join(map(str, path))}"


def _what(item: Mapping[str, Any]) -> str:
    if item.get("type") in ("model_attributes_type", "dict_type", "model_type"):
        return "should be a JSON object, sent as application/json"
    return str(item.get("msg", "is wrong")).removeprefix("Value error, ")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
