"""Puts the HTTP API together.

It reads and writes the job store and nothing else: what happens with a job is the controller's
business, so API and controller may run, die and be replaced apart from each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from gimbal import __version__
from gimbal.api.border import Border
from gimbal.api.context import Api, ApiDeps
from gimbal.api.openapi import PATH, docs_page, install_openapi
from gimbal.api.problems import install_handlers
from gimbal.api.routes import audit, gpus, health, holds, jobs, logs, metrics, runs, tokens

__all__ = ["ApiDeps", "create_app"]

_ROUTERS = (jobs, logs, gpus, holds, runs, tokens, audit, health, metrics)


def create_app(deps: ApiDeps) -> FastAPI:
    """Return the API as an ASGI application.

    Args:
        deps: What it works with; the caller closes the store when the application has ended.
    """
    api = Api(deps)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = deps.settings.threads
        yield

    app = FastAPI(
        title="Gimbal",
        version=__version__,
        openapi_url=PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.api = api
    install_handlers(app)
    install_openapi(app)
    for module in _ROUTERS:
        app.include_router(module.router)

    @app.get("/v1/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    app.add_middleware(Border, settings=deps.settings, stats=api.http)
    return app
