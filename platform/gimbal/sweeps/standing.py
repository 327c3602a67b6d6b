"""Keeps `sweep.json` true while a sweep is driven: that it lives, what it has spent, how it ended.

The time spent is written with every heartbeat, so that a budget over all starts also counts the
starts that were killed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from gimbal.errors import GimbalError
from gimbal.experiment.process_identity import HEARTBEAT_S
from gimbal.experiment.run_state import utc_now
from gimbal.experiment.sweep_record import SweepFolder, SweepStatus
from gimbal.sweeps.tuning import Leaving


class Standing:
    """How a sweep stands, from the moment this process drives it.

    Args:
        folder: The sweep.
        budget_s: Wall-clock seconds over all starts; None: any.
    """

    def __init__(self, folder: SweepFolder, budget_s: float | None) -> None:
        self._folder = folder
        self._budget_s = budget_s
        self._began = time.monotonic()
        self._before_s = folder.record().spent_s
        self._writing = threading.Lock()

    def leaving(self, asked: threading.Event) -> Leaving:
        """Return when this start has to end."""
        left = None if self._budget_s is None else max(self._budget_s - self._before_s, 0.0)
        return Leaving(deadline=None if left is None else self._began + left, asked=asked)

    @contextlib.contextmanager
    def kept(self, leaving: Leaving, left: Callable[[], int]) -> Iterator[None]:
        """Show that this process drives the sweep, and record how the block ended.

        Args:
            leaving: Why trials may have been stopped.
            left: Says how many trials have not ended.
        """
        with self._alive():
            try:
                yield
            except BaseException as error:
                message = error.message if isinstance(error, GimbalError) else type(error).__name__
                self._end(SweepStatus.INTERRUPTED, message)
                raise
        self._end(*self._judged(leaving, left()))

    def _judged(self, leaving: Leaving, left: int) -> tuple[SweepStatus, str]:
        if not left:
            return SweepStatus.FINISHED, ""
        if leaving.asked.is_set():
            return SweepStatus.INTERRUPTED, "stopped by the user"
        if leaving.budget_over:
            return SweepStatus.STOPPED, f"{self._budget_s:g} s are used up"
        trials = f"{left} {'trial' if left == 1 else 'trials'}"
        return SweepStatus.INTERRUPTED, f"{trials} lost their processes too often"

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                with contextlib.suppress(OSError, GimbalError):
                    self._folder.heartbeat.touch()
                    self._write()

        thread = threading.Thread(target=beat, name="sweep-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _end(self, status: SweepStatus, message: str) -> None:
        with contextlib.suppress(GimbalError):
            self._write(status=status, owner=None, ended_at=utc_now(), message=message)

    def _write(self, **changes: object) -> None:
        with self._writing:
            spent_s = self._before_s + time.monotonic() - self._began
            update = {"spent_s": spent_s, **changes}
            self._folder.write(self._folder.record().model_copy(update=update))
