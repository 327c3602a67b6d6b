"""What stops a run that has gone wrong.

Every worker sees the same global numbers, so the guards need no message to come to one decision.
They are part of the checkpoint: a resumed run remembers what it skipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gimbal.errors import StageFailed
from gimbal.training.settings import TrainSettings
from gimbal.training.update import Outcome

_SMOOTHING = 0.98
_WARM_STEPS = 50


@dataclass
class NonFiniteGuard:
    """Counts steps that were skipped for a non-finite loss or gradient."""

    allowed: int
    skipped: int = 0

    def admit(self, outcome: Outcome) -> bool:
        """Return whether the step may be taken; count it where not."""
        if outcome.finite:
            return True
        self.skipped += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether more steps were skipped than allowed."""
        return self.skipped > self.allowed

    def failure(self, outcome: Outcome, step: int) -> StageFailed:
        """Return the error that ends the run."""
        culprits = [name for name, mean in outcome.terms.items() if not math.isfinite(mean)]
        culprits += [f"gradient of {n}" for n, norm in outcome.norms.items() if norm != norm]
        where = ", ".join(culprits) or "an overflowing gradient"
        return StageFailed(
            f"{self.skipped} steps had a non-finite loss or gradient (last: step {step}, in "
            f"{where}); max_nonfinite allows {self.allowed}",
            "the samples are in bad_batches.json: check them, lower lr, or use precision: fp32",
        )


class DivergenceGuard:
    """Stops a run whose smoothed loss stays far above where it began.

    The first level is the mean loss of the first steps; the limit is that much above it times
    `divergence_factor`, in absolute terms, so that losses may be negative.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self._factor = settings.divergence_factor
        self._patience = settings.divergence_patience
        self._seen = 0
        self._first = 0.0
        self._smoothed = 0.0
        self._high = 0

    def check(self, loss: float, step: int) -> None:
        """Take in the loss of one finite step.

        Raises:
            StageFailed: If the loss has stayed too high too long.
        """
        if self._factor is None:
            return
        if self._seen < _WARM_STEPS:
            self._seen += 1
            self._first += (loss - self._first) / self._seen
            self._smoothed = self._first
            return
        self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * loss
        limit = self._first + self._factor * max(abs(self._first), 1e-12)
        self._high = self._high + 1 if self._smoothed > limit else 0
        if self._high >= self._patience:
            raise StageFailed(
                f"the loss diverged: around {self._smoothed:.4g} at step {step}, while the first "
                f"{_WARM_STEPS} steps averaged {self._first:.4g}",
                "lower lr, lengthen warmup_steps or lower clip_norm; if the loss is meant to grow, "
                "set divergence_factor: null",
            )

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "seen": self._seen,
            "first": self._first,
            "smoothed": self._smoothed,
            "high": self._high,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._seen = int(state["seen"])
        self._first = float(state["first"])
        self._smoothed = float(state["smoothed"])
        self._high = int(state["high"])
