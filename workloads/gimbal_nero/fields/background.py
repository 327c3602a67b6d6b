"""What is beyond the unit sphere: a field over inverted-sphere coordinates (NeRF++)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields.encodings import positional
from gimbal_nero.fields.settings import BackgroundSettings

_MAX_LOG = 5.0


class BackgroundNetwork(nn.Module):
    """Density and linear colour of points beyond the unit sphere.

    Args:
        settings: Its size.
    """

    def __init__(self, settings: BackgroundSettings) -> None:
        super().__init__()
        self._settings = settings
        place = 4 * (2 * settings.frequencies + 1)
        towards = 3 * (2 * settings.direction_frequencies + 1)
        width, count = settings.width, settings.layers
        self._skip = count // 2 + 1
        """The layer that sees the encoded place again."""
        inputs = [place, *(width for _ in range(count - 1))]
        if self._skip < count:
            inputs[self._skip] += place
        self.layers = nn.ModuleList(nn.Linear(size, width) for size in inputs)
        self.density = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.view = nn.Linear(width + towards, width // 2)
        self.colour = nn.Linear(width // 2, 3)
        nn.init.constant_(self.colour.bias, math.log(0.5))

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Return density and colour.

        Args:
            points: [N, 3], further than 1 from the origin.
            directions: [N, 3] unit directions of the rays.

        Returns:
            Density [N], at least 0, and linear colour [N, 3].
        """
        radius = torch.linalg.vector_norm(points, dim=-1, keepdim=True)
        place = positional(
            torch.cat([points / radius, 1.0 / radius], dim=-1), self._settings.frequencies
        )
        hidden = place
        for index, layer in enumerate(self.layers):
            if index == self._skip:
                hidden = torch.cat([hidden, place], dim=-1)
            hidden = functional.relu(layer(hidden))
        towards = positional(-directions, self._settings.direction_frequencies)
        seen = functional.relu(self.view(torch.cat([self.feature(hidden), towards], dim=-1)))
        colour = torch.exp(self.colour(seen).clamp(max=_MAX_LOG))
        return functional.softplus(self.density(hidden)).squeeze(-1), colour
