"""Which pixels of the photographs a material is learnt from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings


class PointSettings(Settings):
    """From training pixels to points of the surface.

    The published code keeps every pixel that meets the mesh (`erosion: 0`, `least_cosine: 0`,
    `follow_masks: false`), on flat faces (`refining_steps: 0`, and no smooth normals).
    """

    erosion: Annotated[int, Field(ge=0, le=32)] = 1
    """Pixels left out along outlines, where a pixel shows what is behind as well."""
    least_cosine: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Between normal and view: below it a pixel covers a long strip of surface (.1: 84 degrees)."""
    follow_masks: bool = True
    """Whether pixels that a mask takes for background are left out, where there are masks."""
    refining_steps: Annotated[int, Field(ge=0, le=10)] = 2
    """Newton's steps from the mesh onto the distance it was cut out of, where that is known."""
    points_at_once: Annotated[int, Field(ge=1)] = 65_536
    """Points of one call of the distance; it changes no number."""
