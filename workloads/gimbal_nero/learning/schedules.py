"""Functions of the optimizer step alone (nero.md 3.3, 4 and 7)."""

from __future__ import annotations

import math

from gimbal_nero.learning.settings import LossSettings, ScheduleSettings
from gimbal_nero.volume.model import Moment


def moment_at(settings: ScheduleSettings, step: int) -> Moment:
    """Return what of the renderer belongs to a step.

    Args:
        settings: The schedule.
        step: Optimizer steps already done.
    """
    anneal = min(1.0, step / settings.anneal_steps) if settings.anneal_steps else 1.0
    detail = min(1.0, (step + 1) / settings.detail_steps) if settings.detail_steps else 1.0
    return Moment(
        anneal=anneal,
        variance_trains=step >= settings.variance_frozen_steps,
        step=step,
        detail=detail,
    )


def prior_factor(settings: LossSettings, step: int) -> float:
    """Return 1 falling to 0 along a cosine while the first shape is asked for, else 0."""
    passed = step - settings.prior_from_step
    if not 0 <= passed < settings.prior_steps:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * passed / settings.prior_steps))


def occlusion_on(settings: LossSettings, step: int) -> bool:
    """Return whether occlusion is traced at a step."""
    return settings.occlusion_weight > 0 and step >= settings.occlusion_from_step


def term_weights_at(settings: LossSettings, step: int) -> dict[str, float]:
    """Return the weight of every term that `terms.py` makes, at a step."""
    weights = {"colour": 1.0}
    if settings.eikonal_weight:
        on = step >= settings.eikonal_from_step
        weights["eikonal"] = settings.eikonal_weight if on else 0.0
    if settings.occlusion_weight:
        weights["occlusion"] = settings.occlusion_weight if occlusion_on(settings, step) else 0.0
    if settings.prior_weight:
        prior = settings.prior_weight * prior_factor(settings, step)
        weights |= {"prior_outside": prior, "prior_inside": prior}
    if settings.mask_weight:
        weights["mask"] = settings.mask_weight
    return weights
