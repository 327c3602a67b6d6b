"""The outermost layer: a trace id for every request, headers for every answer, no tracebacks.

One ASGI layer rather than several of the framework's: each of those would add a task and a copy of
the message stream to every request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gimbal.api.hosts import HostCheck
from gimbal.api.limits import BoundedBody
from gimbal.api.metrics import HttpStats
from gimbal.api.problems import TRACE_KEY, ApiProblem, problem_response
from gimbal.api.settings import ApiSettings

logger = logging.getLogger(__name__)

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
}


class Border:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, settings: ApiSettings, stats: HttpStats) -> None:
        self._app = app
        self._settings = settings
        self._stats = stats
        self._hosts = HostCheck(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one start and end of the application."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # a WebSocket: there are none
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRACE_KEY] = trace = secrets.token_hex(8)
        answer = _Answer(send, trace)
        began = time.perf_counter()
        try:
            await self._guarded(scope, receive, answer)
        finally:
            self._stats.observe(scope, answer.status, time.perf_counter() - began)

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        body: BoundedBody | None = None
        try:
            self._hosts.check(scope)
            body = BoundedBody(scope, receive, self._settings.max_body_bytes)
            async with asyncio.timeout(self._settings.request_timeout_s) as patience:
                answer.patience = patience
                await self._app(scope, body, answer)
        except ApiProblem as problem:
            await self._refuse(scope, receive, answer, problem)
        except TimeoutError:
            late = body is not None and body.waiting
            await self._refuse(scope, receive, answer, _too_slow() if late else _busy())
        except Exception:  # the border: a bug must neither end the service nor show its inside
            logger.exception("request_failed", extra={"trace_id": scope[TRACE_KEY]})
            await self._refuse(scope, receive, answer, _broken())

    async def _refuse(
        self, scope: Scope, receive: Receive, answer: _Answer, problem: ApiProblem
    ) -> None:
        if answer.status:
            return  # it began already: all that can be done is to break it off
        answer.patience = None
        await problem_response(scope, problem)(scope, receive, answer)


class _Answer:
    """A `send` that adds our headers and remembers the status; 0: nothing was sent yet."""

    def __init__(self, send: Send, trace: str) -> None:
        self._send = send
        self._trace = trace.encode()
        self.status = 0
        self.patience: asyncio.Timeout | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.patience is not None and not self.patience.expired():
                self.patience.reschedule(None)  # streams last as long as they last
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in _HEADERS.items() if name not in given]
            headers = [*message["headers"], *added, (b"x-trace-id", self._trace)]
            message = {**message, "headers": headers}
        await self._send(message)


def _too_slow() -> ApiProblem:
    return ApiProblem(408, "timeout", "the body did not arrive in time", remedy="send it again")


def _busy() -> ApiProblem:
    return ApiProblem(
        503,
        "timeout",
        "the service did not finish in time; what was asked may have been done",
        remedy="look first, or send it again with the same Idempotency-Key",
        headers={"Retry-After": "5"},
    )


def _broken() -> ApiProblem:
    return ApiProblem(
        500,
        "internal_error",
        "the service broke; this is a bug",
        remedy="its log has the traceback under this trace id",
    )
