"""Keeps a courier running for as long as its run does, and ends it with the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from gimbal.tracking.courier_process import CourierProcess

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0

Start = Callable[[Callable[[], None]], CourierProcess]


class CourierKeeper:
    """Starts a courier again when it dies, ever more seldom; it loses nothing by dying.

    Args:
        start: Starts one; its argument is to be called when that one has ended.
        on_warning: Called with a sentence for the user, also from another thread.
    """

    def __init__(self, start: Start, on_warning: Callable[[str], None]) -> None:
        self._start = start
        self._on_warning = on_warning
        self._courier: CourierProcess | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._pause_s = _FIRST_PAUSE_S

    @property
    def started(self) -> bool:
        """Whether there is a courier to end."""
        return self._courier is not None

    def ensure(self) -> None:
        """Start a courier unless one runs."""
        with self._lock:
            if self._courier is not None and self._courier.alive:
                return
            try:
                self._courier = self._start(self._ended)
            except OSError as exc:
                self._on_warning(
                    f"tracking could not be started ({exc}); records are kept for later"
                )

    def close(self, timeout_s: float) -> None:
        """Let the courier deliver for at most this long, then end it."""
        self._closing.set()
        self.ensure()
        if self._courier is not None:
            self._courier.close(timeout_s)
            self._courier = None

    def _ended(self) -> None:
        """Start the next one after a pause; runs in the thread that listened to the last one."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if not self._closing.wait(pause_s):
            self.ensure()


def courier_of(
    run_dir: Path, runs_dir: Path, uri: str, log: Path, on_warning: Callable[[str], None]
) -> CourierKeeper:
    """Return the keeper of a run's or sweep's courier; nothing is started yet."""
    arguments: Sequence[str] = [str(run_dir), str(runs_dir)]
    return CourierKeeper(
        lambda ended: CourierProcess(arguments, uri, log, on_warning, on_end=ended), on_warning
    )
