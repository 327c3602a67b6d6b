"""How material and light are fitted; defaults are the published ones where they publish any."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings
from gimbal.training.settings import TrainSettings
from gimbal_nero.material.settings import MaterialSettings

Weight = Annotated[float, Field(ge=0, le=1000)]


class MaterialLossSettings(Settings):
    """What is minimised (nero.md 6.5)."""

    charbonnier_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-3
    clip_white: bool = True
    """Whether anything beyond white is as good as white where the photograph is white, since that
    is where its 8 bits end; published: no, which makes highlights broad and lights dim."""
    smoothness_weight: Weight = 0.005
    """Of the difference of the material at a point and beside it."""
    smoothness_radius: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Standard deviation of how far beside, in unit lengths."""
    range_weight: Weight = 1.0
    """Of metallic and alpha near the ends of their ranges, summed over a batch as published."""
    range_until_step: Annotated[int, Field(ge=0)] = 2000
    neutral_light_weight: Weight = 0.1
    """Of colour in the mean light that falls on a point; 0: lights may be as coloured as albedo."""


class FitSettings(Settings):
    """Stage `material`."""

    networks: MaterialSettings = MaterialSettings()
    loss: MaterialLossSettings = MaterialLossSettings()
    train: TrainSettings
    validation_scale: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Side of held-out views in validation against the photographs'."""
    points_at_once: Annotated[int, Field(ge=1)] = 1024
    """Points of one estimate in validation; it changes no number."""
