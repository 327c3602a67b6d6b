"""What every route shares: how a body is read, an answer written, a parameter checked."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gimbal.api import strict_json
from gimbal.api.problems import MEDIA_TYPE, ApiProblem, pointer
from gimbal.api.schemas import Problem
from gimbal.api.text import cleaned_plain
from gimbal.scheduling.model import JobId

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
MAX_LIMIT = 200


class Page(BaseModel):
    """Which part of a list is asked for; parameters it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many at most.")] = 50
    cursor: Annotated[
        str | None,
        Field(
            max_length=MAX_LIMIT,
            pattern=r"^[\x21-\x7e]*$",
            description="`next_cursor` of the page before.",
        ),
    ] = None


class StrictRequest(Request):
    """A request whose JSON is read by `strict_json`."""

    async def json(self) -> Any:
        """Return the body.

        Raises:
            ApiProblem: 400, if it is not JSON that is taken here.
        """
        try:
            return strict_json.parse(await self.body())
        except strict_json.BadJson as error:
            raise ApiProblem(
                400, "bad_json", f"the body is not usable JSON: {error}", remedy="correct it"
            ) from error


class StrictRoute(APIRoute):
    """A route that reads bodies strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what serves a request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def make_router(tag: str, *, prefix: str = "/v1") -> APIRouter:
    """Return a router for one subject; every route of it documents how errors look."""
    problem = {
        "description": "What is wrong, as RFC 9457 has it.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
    }
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, responses={"4XX": problem})


def writes(endpoint: Callable[..., Response]) -> Callable[..., Coroutine[Any, Any, Response]]:
    """Have an endpoint run among the few that may change something at once.

    Its other callers wait in the event loop, where they cost no thread.
    """

    @functools.wraps(endpoint)
    async def in_turn(**named: Any) -> Response:
        limiter = named["api"].writers
        return await to_thread.run_sync(functools.partial(endpoint, **named), limiter=limiter)

    return in_turn


def gives(model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """Return what a route's decorator needs to document its answer and not to check it."""
    return {
        "status_code": status,
        "response_model": None,
        "responses": {status: {"model": model}},
    }


def answer(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a mapping as JSON."""
    try:
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number JSON has not; rare enough to look for it only then
        text = json.dumps(cleaned_plain(body), separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def job_id(text: str) -> JobId:
    """Return an id from an address.

    Raises:
        ApiProblem: 404: no job can have that id.
    """
    if not _JOB_ID.fullmatch(text):
        raise ApiProblem(404, "not_found", "there is no such job", remedy="see GET /v1/jobs")
    return JobId(text)


def utc(at: datetime | None, name: str) -> datetime | None:
    """Return a time in UTC.

    Raises:
        ApiProblem: 422: its zone moves it out of the calendar.
    """
    try:
        return None if at is None else at.astimezone(UTC)
    except OverflowError as error:
        problem = (name, "is outside the calendar")
        raise ApiProblem(
            422, "invalid_request", "a time cannot be used", errors=[problem]
        ) from error


def body_error(message: str, *where: Any, code: str = "invalid_request") -> ApiProblem:
    """Return a 422 about one key of the body."""
    return ApiProblem(422, code, message, errors=[(pointer(*where), message)])
