"""The learning rate as a pure function of the optimizer step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gimbal.training.settings import TrainSettings

if TYPE_CHECKING:
    from torch.optim import Optimizer


def rate_factor(settings: TrainSettings, step: int) -> float:
    """Return the share of the peak learning rate used by step `step` (counted from 0).

    The warm-up rises in equal parts and reaches the peak at its last step; the fall would reach
    `final_share` one step after the last, so that no step is spent at a rate of 0.
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = min(1.0, (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps))
    shape = 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return settings.final_share + (1.0 - settings.final_share) * shape


def set_rates(optimizer: Optimizer, peaks: Sequence[float], factor: float) -> None:
    """Give every parameter group its rate of this step."""
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor
