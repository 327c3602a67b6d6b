"""The GPUs as they were a moment ago, for readers that must not wait for Ray."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gimbal.jobs.ports import LaunchUnavailable
from gimbal.scheduling.model import Gpu

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenGpus:
    """A snapshot and when it was taken.

    Attributes:
        gpus: The cards.
        at: `time.monotonic()` then; None: never.
        problem: Why the last try failed; empty: it did not.
    """

    gpus: tuple[Gpu, ...] = ()
    at: float | None = None
    problem: str = ""


class GpuCache:
    """Asks for a snapshot again and again in a thread of its own.

    Args:
        snapshot: Returns every card; may raise `LaunchUnavailable`.
        every_s: Time between two snapshots.
    """

    def __init__(self, snapshot: Callable[[], tuple[Gpu, ...]], every_s: float = 1.0) -> None:
        self._snapshot = snapshot
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="gpu-cache", daemon=True)
        self.seen = SeenGpus()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; returns when the thread has."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the newest snapshot."""
        return self.seen.gpus

    def age_s(self) -> float | None:
        """Return how old it is; None: there was none yet."""
        return None if self.seen.at is None else time.monotonic() - self.seen.at

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self.seen = SeenGpus(gpus=self._snapshot(), at=time.monotonic())
            except LaunchUnavailable as error:
                self.seen = SeenGpus(gpus=self.seen.gpus, at=self.seen.at, problem=str(error))
            except Exception as error:  # a thread's border: readers must keep what was seen
                logger.exception("gpu_snapshot_failed")
                self.seen = SeenGpus(gpus=self.seen.gpus, at=self.seen.at, problem=repr(error))
            self._stop.wait(self._every_s)
