"""How a shape is learnt: losses, when each begins, which rays, and what is validated.

Defaults are those of the published code (300,000 steps). A loss of weight 0 is no term at all; one
that begins later is a term that counts nothing until then, since terms may not come and go.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gimbal.experiment.settings import Settings

Steps = Annotated[int, Field(ge=0, le=1_000_000_000)]
Weight = Annotated[float, Field(ge=0)]


class LossSettings(Settings):
    """What is minimised: a weighted sum of means."""

    colour: Literal["charbonnier", "l1", "l2"] = "charbonnier"
    """Over a ray's channels: sqrt(squares' sum + epsilon), absolute values' mean, squares' mean."""
    charbonnier_epsilon: Annotated[float, Field(gt=0)] = 1e-3
    masked_colour: bool = False
    """Whether rays that a mask puts beside the object have no colour loss."""

    dual_from_step: Steps = 0
    """With `model.dual`: the step from which the plain colour counts as much as the surface is
    rough; before, when roughness means nothing yet, both colours count half."""

    eikonal_weight: Weight = 0.1
    eikonal_from_step: Steps = 0
    eikonal_uniform_points: Annotated[int, Field(ge=0, le=4096)] = 0
    """Points of each ray's own, evenly in the unit sphere, at which slopes count beside those of
    the ray's samples; 0, as published: samples alone."""

    occlusion_weight: Weight = 1.0
    occlusion_from_step: Steps = 20_000
    """Traced occlusion means nothing before there is a surface."""
    occlusion_points_per_ray: Annotated[int, Field(ge=1)] = 4
    """Most samples of a ray whose occlusion is traced; 4 of 512 rays are the 2,048 points of NeRO,
    whose limit for the whole batch would depend on how it is shared out."""
    occlusion_band: Annotated[float, Field(gt=0)] = 0.01
    """Unit lengths from the surface within which a sample counts as on it."""

    prior_weight: Weight = 1.0
    """Of the first shape: nothing beyond radius 1.05, something within .1."""
    prior_from_step: Steps = 0
    prior_steps: Annotated[int, Field(ge=1)] = 1000
    """Steps over which its weight falls to 0 along a cosine."""

    mask_weight: Weight = 0.0
    """Binary cross entropy of opacity and mask; .1 suits good masks."""


class ScheduleSettings(Settings):
    """What of the renderer changes with the step."""

    anneal_steps: Steps = 50_000
    """Steps until the slope along a ray is the true one."""
    variance_frozen_steps: Steps = 15_000
    """Steps before the sharpness of the surface is learnt."""
    detail_steps: Steps = 0
    """Steps over which the levels of a grid begin to learn, the coarsest first; 0: all at once."""


class RaySettings(Settings):
    """Which pixels are learnt from, and how held-out views are looked at."""

    foreground_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of rays that masks put on the object; none: every pixel alike, as published."""
    validation_scale: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Size of validated views against the photographs."""
    rays_at_once: Annotated[int, Field(ge=1)] = 1024
    """Rays of one forward pass in validation; it changes no number."""
