"""A clock that moves when a test says so."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

_START = datetime(2030, 1, 1, tzinfo=UTC)


class ManualClock:
    """A clock for tests; see `gimbal.jobs.ports.Clock`. Several threads may read and move it.

    Args:
        start: The time it shows first; must say its zone.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0
        self._wrong_s = 0.0

    def now(self) -> datetime:
        """Return the time in UTC."""
        with self._lock:
            return self._now

    def timestamp(self) -> float:
        """Return the time in Unix seconds."""
        return self.now().timestamp()

    def monotonic(self) -> float:
        """Return the seconds that have passed; jumps do not count."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: Time does not go back; to set the clock is `jump`.
        """
        if seconds < 0:
            raise ValueError(f"time cannot pass by {seconds} s; set the clock with jump()")
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the clock forward or back, as an administrator or NTP does."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._wrong_s += seconds

    def set_right(self) -> None:
        """Undo every jump so far."""
        self.jump(-self._wrong_s)
