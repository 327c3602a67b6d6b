"""The numbers a training stage returns, and the clock they come from."""

from __future__ import annotations

import math
import time
from array import array
from statistics import median
from typing import Any

from gimbal.training import checkpoints, gradient_report
from gimbal.training.keeping import Keeper, Progress, best_step
from gimbal.training.orders import Plan
from gimbal.training.world import World

_DURATIONS_KEPT = 100_000


class Clock:
    """Times steps without keeping all of them for ever.

    Args:
        started_at: Unix time at which the run was asked for.
        global_batch: Samples of a step.
    """

    def __init__(self, started_at: float, global_batch: int) -> None:
        self._started_at = started_at
        self._global_batch = global_batch
        self._durations = array("d")
        self._rate_mark = (0, 0.0)
        self.steps = 0
        self.first_step_s: float | None = None

    def start(self, done: int) -> None:
        """Begin to count, at `done` finished steps."""
        self._rate_mark = (0, time.perf_counter())

    def tick(self, duration_s: float) -> None:
        """Note one step."""
        self.steps += 1
        if self.first_step_s is None:
            self.first_step_s = time.time() - self._started_at if self._started_at else duration_s
        if len(self._durations) < _DURATIONS_KEPT:
            self._durations.append(duration_s)
        else:
            self._durations[self.steps % _DURATIONS_KEPT] = duration_s

    def recent_rate(self) -> float:
        """Return samples a second since the last call, everything included."""
        steps, since = self._rate_mark
        now = time.perf_counter()
        self._rate_mark = (self.steps, now)
        return (self.steps - steps) * self._global_batch / max(now - since, 1e-9)

    def median_step_s(self) -> float | None:
        """Return the median step, without the first, which builds and compiles."""
        kept = self._durations[1:] if len(self._durations) > 1 else self._durations
        return median(kept) if kept else None


def summarise(
    plan: Plan, world: World, progress: Progress, keeper: Keeper, clock: Clock
) -> dict[str, Any]:
    """Return the numbers of a finished run."""
    settings = plan.settings
    step_s = clock.median_step_s()
    best = best_step(progress, settings, settings.steps)
    return {
        "steps": settings.steps,
        "samples_seen": settings.steps * settings.global_batch,
        "loss": progress.loss if math.isfinite(progress.loss) else None,
        "val": progress.validation,
        "best": {
            "step": best,
            "metric": settings.best_metric,
            "value": progress.best.value if progress.best is not None else None,
            "path": f"{checkpoints.FOLDER}/{checkpoints.name_of(best)}" if best else None,
        },
        "first_step_s": clock.first_step_s,
        "step_ms": None if step_s is None else 1e3 * step_s,
        "samples_per_s": None if step_s is None else settings.global_batch / step_s,
        "resumed_from": keeper.resumed_from,
        "set_aside": keeper.set_aside,
        "skipped": progress.nonfinite.skipped,
        "workers": world.size,
        "device": str(world.device),
        "gradients": gradient_report.summary(plan.out_dir) if world.leads else {},
    }
