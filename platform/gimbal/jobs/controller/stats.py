"""Numbers about the controller's work, for whoever exports them.

Plain counters rather than a metrics library's: the API decides on names and formats, and a
controller without an API needs none.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gimbal.scheduling.failure_model import FailureClass

DECISION_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
WAIT_BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
OOM_CLASSES = frozenset(
    {FailureClass.CONTENTION, FailureClass.OOM_INTRINSIC, FailureClass.OOM_HOST}
)


class Histogram:
    """Counts values in buckets; one thread writes, any number read.

    Args:
        bounds: Upper bounds of the buckets, ascending; a last one without bound is added.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count a value."""
        with self._lock:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._total += value

    def buckets(self) -> tuple[tuple[tuple[float, int], ...], float]:
        """Return the cumulative count up to each bound (the last is infinity), and the sum."""
        with self._lock:
            counts, total = list(self._counts), self._total
        cumulative, so_far = [], 0
        for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
            so_far += count
            cumulative.append((bound, so_far))
        return tuple(cumulative), total


@dataclass(kw_only=True, slots=True)
class ControllerStats:
    """What happened since this controller began.

    Attributes:
        decision_s: Seconds the policy took.
        queue_wait_s: Seconds from entering the queue to being granted cards, by attempt.
        retries: Attempts queued again, by class of failure.
        failures: Attempts that failed, by class, whatever followed.
        placements: Attempts started.
        unavailable: Ticks that Ray did not answer.
        leading: Whether the last tick held the lease.
    """

    decision_s: Histogram = field(default_factory=lambda: Histogram(DECISION_BOUNDS_S))
    queue_wait_s: Histogram = field(default_factory=lambda: Histogram(WAIT_BOUNDS_S))
    retries: Counter[FailureClass] = field(default_factory=Counter)
    failures: Counter[FailureClass] = field(default_factory=Counter)
    placements: int = 0
    unavailable: int = 0
    leading: bool = False

    def ooms(self) -> dict[FailureClass, int]:
        """Return how often memory ran out, by whose fault it was."""
        return {kind: self.failures[kind] for kind in sorted(OOM_CLASSES)}
