"""All networks of a shape as one module."""

from __future__ import annotations

from torch import nn

from gimbal_nero.fields.background import BackgroundNetwork
from gimbal_nero.fields.distance_cache import DistanceCache
from gimbal_nero.fields.exposure import Exposure
from gimbal_nero.fields.grid_sdf import GridSdf
from gimbal_nero.fields.grids import HashGrid, TriPlanes
from gimbal_nero.fields.sdf import SdfNetwork, Sharpness
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.fields.shading import RadianceShader, ReflectionShader


class ShapeModel(nn.Module):
    """Distance, sharpness, colour, and what is beyond the unit sphere.

    Args:
        settings: Their sizes.
        views: Photographs that are learnt from, for exposures of their own.
    """

    def __init__(self, settings: ModelSettings, views: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.distance = distance_of(settings)
        self.sharpness = Sharpness(settings.inv_s)
        size = self.distance.feature_size
        self.shader: ReflectionShader | RadianceShader = (
            ReflectionShader(settings, size)
            if settings.mode == "reflection"
            else RadianceShader(settings, size)
        )
        self.background = (
            BackgroundNetwork(settings.background) if settings.sampling.background else None
        )
        self.exposure = Exposure(views) if settings.exposure == "learned" else None
        self.cache = DistanceCache(settings.sampling.cache) if settings.sampling.cache else None
        if self.cache is not None:
            self.cache.update(self.distance.sdf)

    def prepare(self, step: int | None, detail: float) -> None:
        """Bring up to date what follows from the weights and the step.

        Args:
            step: Optimizer steps done; None: cached distances stay as they are.
            detail: The coarser share of a grid's levels that learns.
        """
        if isinstance(self.distance, GridSdf):
            self.distance.focus(detail)
        due = step is not None and step % self.settings.sampling.cache_every == 0
        if self.cache is not None and due:
            self.cache.update(self.distance.sdf)


def distance_of(settings: ModelSettings) -> SdfNetwork | GridSdf:
    """Return what knows distance."""
    if settings.geometry == "mlp":
        return SdfNetwork(settings.sdf)
    kind = TriPlanes if settings.geometry == "planes" else HashGrid
    grid = settings.grid
    return GridSdf(
        kind(grid), width=grid.width, frequencies=grid.frequencies, radius=settings.sdf.bias
    )
