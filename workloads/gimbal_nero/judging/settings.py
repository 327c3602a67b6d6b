"""How a shape and its material are judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings


class JudgeSettings(Settings):
    """Against ground truth, and on photographs that were not learnt from."""

    voxel: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Side of the grid, in unit lengths, on which visible points are thinned out, as published."""
    max_chamfer: Annotated[float, Field(gt=0)] | None = None
    """Unit lengths; a shape that is further off from ground truth ends the run with status 4. None,
    and where there is no truth: not asked."""
    max_normal_deg: Annotated[float, Field(gt=0)] | None = None
    """Degrees; none: not asked."""
    max_roughness_mae: Annotated[float, Field(gt=0)] | None = None
    """Of perceptual roughness, in [0, 1]; none: not asked."""
    max_albedo_mae: Annotated[float, Field(gt=0)] | None = None
    """Of linear albedo, after a factor of each channel; none: not asked."""
    min_relit_psnr: Annotated[float, Field(gt=0)] | None = None
    """Decibels, under lights that were not learnt from, after one factor of all pictures; none: not
    asked."""
    shown_views: Annotated[int, Field(ge=0)] = 4
    """Held-out views whose pictures are kept for the report."""
    shown_materials: Annotated[int, Field(ge=0)] = 2
    """Views whose maps of the material are kept."""
    shown_relit: Annotated[int, Field(ge=0)] = 8
    """Relit pictures that are kept beside the true ones."""
