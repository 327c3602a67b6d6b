"""How much one caller may ask for: token buckets, open streams, the size of a body."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive, Scope

from gimbal.api.problems import ApiProblem

_MAX_CALLERS = 4096
"""Buckets kept; the one unused longest goes first, and a full bucket is what it comes back as."""


class RateLimit:
    """A token bucket for each caller.

    Args:
        per_s: Requests a caller may send in the long run.
        burst: Requests it may send at once.
        monotonic: Seconds that never go back.
    """

    def __init__(self, per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._per_s, self._burst, self._monotonic = per_s, burst, monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            ApiProblem: 429; `Retry-After` says when the next one is let through.
        """
        now = self._monotonic()
        with self._lock:
            left, at = self._left.pop(caller, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._per_s)
            self._left[caller] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > _MAX_CALLERS:
                self._left.popitem(last=False)
        if left < 1:
            wait_s = max(1, math.ceil((1 - left) / self._per_s))
            raise ApiProblem(
                429,
                "too_many_requests",
                f"more than {self._per_s:g} requests a second",
                remedy=f"wait {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )


class StreamCap:
    """How many streams are open, in all and for each user."""

    def __init__(self, total: int, per_user: int) -> None:
        self._total, self._per_user = total, per_user
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many are open now."""
        return self._open.total()

    @contextmanager
    def entered(self, user: str) -> Iterator[None]:
        """Count a stream for as long as the block runs.

        Raises:
            ApiProblem: 429: too many are open.
        """
        with self._lock:
            if self._open[user] >= self._per_user or self._open.total() >= self._total:
                raise ApiProblem(
                    429,
                    "too_many_streams",
                    "too many logs are followed at once",
                    remedy="end another one first, or read the log without following it",
                    headers={"Retry-After": "10"},
                )
            self._open[user] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[user] -= 1
                if self._open[user] <= 0:
                    del self._open[user]


class BoundedBody:
    """A `receive` that refuses a body once it is too large, however it is sent.

    Attributes:
        waiting: Whether the app waits for the client's next bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, limit_bytes: int) -> None:
        self._receive, self._limit, self._seen = receive, limit_bytes, 0
        self.waiting = False
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit_bytes:
            raise self._too_large()

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            ApiProblem: 413.
        """
        self.waiting = True
        message = await self._receive()
        self.waiting = False
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise self._too_large()
        return message

    def _too_large(self) -> ApiProblem:
        return ApiProblem(
            413,
            "body_too_large",
            f"the body is larger than {self._limit} bytes",
            remedy="send less; data belongs into files the config names",
            headers={"Connection": "close"},
        )
