"""From the scale token to metres: one positive number a sample."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.attention import initialise_linear

SMALLEST_SCALE = 1e-8


class ScaleHead(nn.Module):
    """An MLP whose output is the logarithm of the metric scale."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1)
        )
        initialise_linear(self)

    def start_at(self, metres: float) -> None:
        """Say about so many metres per unit until training knows better."""
        last = cast("nn.Linear", self.layers[-1])
        with torch.no_grad():
            last.bias.fill_(math.log(metres))

    def forward(self, token: Tensor) -> Tensor:
        """Return [B, 1] metres per unit of the model, of [B, D]."""
        scale: Tensor = self.layers(token).exp().clamp_min(SMALLEST_SCALE)
        return scale
