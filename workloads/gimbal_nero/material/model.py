"""All networks of a material and its light as one module."""

from __future__ import annotations

from torch import nn

from gimbal_nero.fields.photographer import PhotographerLight
from gimbal_nero.material.lighting import LightNetworks
from gimbal_nero.material.networks import MaterialNetwork
from gimbal_nero.material.settings import MaterialSettings

_PHOTOGRAPHER_START = 0.02


class MaterialModel(nn.Module):
    """What the surface is made of, the light around it, and who stands in that light.

    Args:
        settings: Sizes of the networks.
        photographer: Whether there is somebody behind the camera.
    """

    def __init__(self, settings: MaterialSettings, *, photographer: bool = False) -> None:
        super().__init__()
        self.surface = MaterialNetwork(settings)
        self.light = LightNetworks(settings)
        self.photographer = (
            PhotographerLight(settings.heads, _PHOTOGRAPHER_START) if photographer else None
        )
