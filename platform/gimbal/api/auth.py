"""Who asks, and what they may do.

Tokens are random and long, so the store keeps plain SHA-256 digests of them and finds one by its
digest: there is nothing to compare byte by byte, and nothing a stolen database would let in.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from gimbal.api.limits import RateLimit
from gimbal.api.problems import ApiProblem
from gimbal.api.schemas.requests import NAME
from gimbal.api.settings import ApiSettings, is_loopback
from gimbal.jobs.model import Identity, Job, Role
from gimbal.jobs.ports import Clock, JobStore
from gimbal.jobs.tokens import is_token, token_digest

if TYPE_CHECKING:
    from gimbal.api.context import Api

logger = logging.getLogger(__name__)

_MAX_CACHED = 1024
_FAILURES_PER_S = 2.0
_FAILURE_BURST = 20


class Authenticator:
    """Finds out who sends a request; a token's answer is remembered for some seconds."""

    def __init__(self, store: JobStore, clock: Clock, settings: ApiSettings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._known: dict[str, tuple[float, Identity]] = {}
        self._lock = threading.Lock()
        self._failures = RateLimit(_FAILURES_PER_S, _FAILURE_BURST, clock.monotonic)
        self._everybody = Identity(user=os_user(), role=Role.OPERATOR)

    async def identify(self, request: Request) -> Identity:
        """Return who sends a request.

        Raises:
            ApiProblem: 401 without a valid token, 429 after many bad ones.
        """
        if not self._settings.auth:
            return self._everybody
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("there is no token in the request", "")
        identity = await self._holder(token) if is_token(token) else None
        if identity is None:
            raise self._failed(request)
        return identity

    async def _holder(self, token: str) -> Identity | None:
        key = token_digest(token)
        return self._remembered(key) or await run_in_threadpool(self._look_up, key)

    def forget(self) -> None:
        """Look every token up anew: one was revoked."""
        with self._lock:
            self._known.clear()

    def _remembered(self, key: str) -> Identity | None:
        until, identity = self._known.get(key, (0.0, None))
        return identity if self._clock.monotonic() < until else None

    def _look_up(self, key: str) -> Identity | None:
        until = self._clock.monotonic() + self._settings.token_cache_s
        identity = self._store.identity_of(key, now=self._clock.now())
        if identity is not None:
            with self._lock:
                if len(self._known) >= _MAX_CACHED:
                    self._known.clear()
                self._known[key] = (until, identity)
        return identity

    def _failed(self, request: Request) -> ApiProblem:
        client = request.client.host if request.client else "unknown"
        logger.warning("authentication_failed", extra={"client": client})
        self._failures.take(client)
        return _unauthorized("the token is unknown, expired or revoked", 'error="invalid_token"')


def may_change(identity: Identity, job: Job) -> None:
    """Let users change their own jobs, and operators everybody's.

    Raises:
        ApiProblem: 403.
    """
    if identity.user != job.spec.user and not identity.role.includes(Role.OPERATOR):
        raise ApiProblem(
            403,
            "not_yours",
            f"the job {job.id} is {job.spec.user}'s",
            remedy="ask them, or an operator",
        )


def from_this_machine(request: Request) -> bool:
    """Return whether a request was sent on this machine, and by no proxy for somebody else."""
    forwarded = {"forwarded", "x-forwarded-for", "via"} & set(request.headers)
    return request.client is not None and not forwarded and is_loopback(request.client.host)


def os_user() -> str:
    """Return the user this process belongs to, as the API names users."""
    try:
        name = getpass.getuser().lower()
    except (KeyError, OSError):
        return "operator"  # a container's user may have no name
    return name if re.match(NAME, name) else f"user-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _needing(role: Role) -> Callable[[Request], Coroutine[Any, Any, Identity]]:
    async def dependency(request: Request) -> Identity:
        api: Api = request.app.state.api
        identity = await api.authenticator.identify(request)
        api.rate.take(identity.user)
        if not identity.role.includes(role):
            raise ApiProblem(
                403,
                "role_too_low",
                f"that needs the role {role}; the token has {identity.role}",
                remedy="ask an operator for another token",
            )
        return identity

    return dependency


async def _viewer_or_local(request: Request) -> Identity | None:
    if from_this_machine(request) and "authorization" not in request.headers:
        return None
    return await _VIEWER(request)


def _unauthorized(detail: str, challenge: str) -> ApiProblem:
    extra = f", {challenge}" if challenge else ""
    return ApiProblem(
        401,
        "unauthorized",
        detail,
        remedy="send `Authorization: Bearer TOKEN`",
        headers={"WWW-Authenticate": f'Bearer realm="gimbal"{extra}'},
    )


_VIEWER = _needing(Role.VIEWER)
Viewer = Annotated[Identity, Depends(_VIEWER)]
User = Annotated[Identity, Depends(_needing(Role.USER))]
Operator = Annotated[Identity, Depends(_needing(Role.OPERATOR))]
ViewerOrLocal = Annotated[Identity | None, Depends(_viewer_or_local)]
