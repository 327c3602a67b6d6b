"""What a surface is made of at each of its points (nero.md 6.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.layers import Predictor, normed_linear
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.reflectance.model import SMALLEST_ALPHA

_FREQUENCIES = 8


@dataclass(frozen=True, kw_only=True)
class Material:
    """Of N points.

    Attributes:
        albedo: [N, 3] linear.
        metallic: [N, 1]
        alpha: [N, 1] of GGX, at least `SMALLEST_ALPHA`: perceptual roughness squared.
    """

    albedo: Tensor
    metallic: Tensor
    alpha: Tensor


class MaterialNetwork(nn.Module):
    """A feature of the point, and one network for each quantity.

    Args:
        settings: Its size.
    """

    def __init__(self, settings: MaterialSettings) -> None:
        super().__init__()
        place, width = 3 * (2 * _FREQUENCIES + 1), settings.width
        sizes = [place, *(width for _ in range(settings.half_layers - 1))]
        again = [width + place, *(width for _ in range(settings.half_layers - 1))]
        self.before = nn.ModuleList(normed_linear(size, width) for size in sizes)
        self.after = nn.ModuleList(normed_linear(size, width) for size in again)
        self.metallic = _head(settings, width + 3, 1)
        self.roughness = _head(settings, width + 3, 1)
        self.albedo = _head(settings, width + 3, 3)

    def forward(self, points: Tensor) -> Material:
        """Return the material at [N, 3] points in the unit frame."""
        described = torch.cat([self._features(points), points], dim=-1)
        share = self.roughness(described)
        return Material(
            albedo=self.albedo(described),
            metallic=self.metallic(described),
            alpha=share * (1.0 - SMALLEST_ALPHA) + SMALLEST_ALPHA,
        )

    def _features(self, points: Tensor) -> Tensor:
        """Return [N, width]; the last layer is linear."""
        place = positional(points, _FREQUENCIES)
        hidden = place
        for layer in self.before:
            hidden = functional.relu(layer(hidden))
        hidden = torch.cat([hidden, place], dim=-1)
        last = len(self.after) - 1
        for index, layer in enumerate(self.after):
            hidden = layer(hidden) if index == last else functional.relu(layer(hidden))
        return hidden


def _head(settings: MaterialSettings, inputs: int, outputs: int) -> Predictor:
    heads = settings.heads
    return Predictor(inputs, outputs, layers=heads.layers, width=heads.width, activation="sigmoid")
