"""The loss that a config asks for."""

from __future__ import annotations

from dataclasses import replace

from gimbal_multicar.learning.fitting import shape_of
from gimbal_multicar.learning.settings import LossSettings, ModelSettings, SampleSettings
from gimbal_vision.multiview.losses.match_term import MatchTerm
from gimbal_vision.multiview.losses.presets import PRESETS
from gimbal_vision.multiview.losses.total import MultiViewLoss


def loss_of(settings: LossSettings, samples: SampleSettings, model: ModelSettings) -> MultiViewLoss:
    """Return the loss of a preset with its weights replaced.

    Raises:
        LossError: A weight of a term that does not exist; the message lists those there are.
    """
    preset = PRESETS[settings.preset]
    shape = shape_of(model)
    return MultiViewLoss.of_preset(
        replace(preset, weights=preset.weights.replaced(settings.weights)),
        mask_pos_weight=settings.mask_pos_weight,
        wraps=samples.views == "panoramas",
        solid_angle=settings.solid_angle,
        match=MatchTerm(patch=shape.patch, weight=settings.match_weight)
        if shape.pose_head == "matching"
        else None,
    )
