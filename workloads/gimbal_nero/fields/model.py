"""All networks of a shape as one module."""

from __future__ import annotations

from torch import nn

from gimbal_nero.fields.background import BackgroundNetwork
from gimbal_nero.fields.exposure import Exposure
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
        self.distance = SdfNetwork(settings.sdf)
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
