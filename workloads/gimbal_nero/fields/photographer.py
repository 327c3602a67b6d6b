"""Light of the person behind the camera, seen in what the object mirrors (nero.md 3.6)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gimbal_nero.fields.encodings import integrated_positional
from gimbal_nero.fields.layers import Predictor
from gimbal_nero.fields.settings import HeadSettings

_DEGREES = 6
_SCALE = 0.3
_REACH = 1.5
_STEEPEST = 1e-4


class PhotographerLight(nn.Module):
    """A picture in the plane of the photographer: colour, and how much it covers what is behind.

    Args:
        settings: Size of its network.
        start: Colour and coverage that it begins with.
    """

    def __init__(self, settings: HeadSettings, start: float = 0.01) -> None:
        super().__init__()
        self.light = Predictor(
            2 * 2 * _DEGREES,
            4,
            layers=settings.layers,
            width=settings.width,
            activation="exp",
            bias=math.log(start),
        )

    def forward(
        self, points: Tensor, reflected: Tensor, roughness: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what reflected rays see of the photographer.

        Args:
            points: [N, 3] in the unit frame.
            reflected: [N, 3] unit directions away from the surface.
            roughness: [N, 1]
            frames: [N, 3, 4] world-to-photographer frame of each point's view; the picture is the
                plane z = 0.

        Returns:
            Linear colour [N, 3] and coverage [N, 1] in [0, 1], both 0 where the plane is missed.
        """
        start = torch.einsum("nij,nj->ni", frames[..., :3], points) + frames[..., 3]
        towards = torch.einsum("nij,nj->ni", frames[..., :3], reflected)
        across = towards[:, 2:]
        across = torch.where(across.abs() > _STEEPEST, across, _STEEPEST)
        distance = -start[:, 2:] / across
        mean = _SCALE * (start[:, :2] + distance * towards[:, :2])
        reached = (torch.linalg.vector_norm(mean, dim=-1, keepdim=True) < _REACH) & (distance > 0)
        mean = torch.where(reached, mean, 0.0)
        spread = torch.where(reached, roughness * (_SCALE * distance).square(), 0.0)
        said = self.light(integrated_positional(mean, spread, _DEGREES)) * reached
        return said[:, :3], said[:, 3:].clamp(0.0, 1.0)
