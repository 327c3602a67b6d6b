"""The OpenAPI document, and a page that shows it without loading anything from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gimbal.api.schemas import LogEnd, LogEvent, Problem

PATH = "/v1/openapi.json"
_OPEN = frozenset({"/healthz", "/readyz"})
_DESCRIPTION = """Jobs on GPUs that are really free.

Errors are `application/problem+json`. Times are RFC 3339 in UTC, sizes are bytes. Lists go on with
`cursor`. Send an `Idempotency-Key` with what must not happen twice.
"""


def install_openapi(app: FastAPI) -> None:
    """Have `app.openapi()` give our document; it is made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def docs_page(document: dict[str, Any]) -> str:
    """Return a plain page that lists every operation."""
    rows = [
        f"<li><code>{method.upper()} {escape(path)}</code> {escape(operation['summary'])}"
        f"<p>{escape(operation.get('description', ''))}</p></li>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Gimbal's API</title>"
        f"<h1>Gimbal's API</h1><p>{escape(_DESCRIPTION)}</p>"
        f"<p>Everything, with schemas and examples: <a href='{PATH}'>{PATH}</a></p>"
        f"<ul>{''.join(rows)}</ul></html>"
    )


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=_DESCRIPTION,
        routes=app.routes,
    )
    components = document["components"]
    schemas = components["schemas"]
    for model in (Problem, LogEvent, LogEnd):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # FastAPI's own form; ours is under 4XX
            operation["security"] = [] if path in _OPEN else [{"bearer": []}]
    return document
