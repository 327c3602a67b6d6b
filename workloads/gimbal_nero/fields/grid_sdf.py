"""A signed distance from a grid of features and a small decoder: for learning in minutes.

The distance is that of a sphere and what the decoder adds to it, which is 0 at first. Its gradient
is written out as in `gimbal_nero.fields.sdf`; the grid's slopes come from its splines.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nero.fields.encodings import positional, positional_pullback
from gimbal_nero.fields.grids import HashGrid, TriPlanes
from gimbal_nero.fields.sdf import Distances

_BETA = 100.0
_SOFT = 0.1
"""Radius within which the sphere's distance is rounded off: it has no gradient at its centre."""


class GridSdf(nn.Module):
    """Distance, gradient and feature of points, as `SdfNetwork` has them.

    Args:
        grid: Features of points.
        width: Of the decoder's two layers.
        frequencies: Octaves of the point beside its features.
        radius: Of the sphere that it starts as.
    """

    def __init__(
        self, grid: TriPlanes | HashGrid, *, width: int, frequencies: int, radius: float
    ) -> None:
        super().__init__()
        self.grid = grid
        self._frequencies, self._radius = frequencies, radius
        encoded = 3 * (2 * frequencies + 1)
        self.first = nn.Linear(encoded + grid.size, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.feature_size = width
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, points: Tensor) -> Distances:
        """Return distances, gradients and hidden values of [N, 3] points."""
        features, slopes = self.grid.with_slopes(points)
        encoded = positional(points, self._frequencies)
        before = self.first(torch.cat([encoded, features], dim=-1))
        middle = self.second(functional.softplus(before, beta=_BETA))
        hidden = functional.softplus(middle, beta=_BETA)
        pulled = self.head.weight * torch.sigmoid(_BETA * middle)
        pulled = (pulled @ self.second.weight) * torch.sigmoid(_BETA * before)
        pulled = pulled @ self.first.weight
        of_point, of_features = pulled.tensor_split([encoded.shape[-1]], dim=-1)
        sphere, outward = self._sphere(points)
        gradients = (
            outward
            + positional_pullback(points, of_point, self._frequencies)
            + self.grid.pull_back(slopes, of_features)
        )
        return Distances(
            sdf=sphere + self.head(hidden).squeeze(-1), gradients=gradients, hidden=hidden
        )

    def sdf(self, points: Tensor) -> Tensor:
        """Return the distances [N] of [N, 3] points alone."""
        encoded = positional(points, self._frequencies)
        before = self.first(torch.cat([encoded, self.grid.features(points)], dim=-1))
        middle = self.second(functional.softplus(before, beta=_BETA))
        hidden = functional.softplus(middle, beta=_BETA)
        said: Tensor = self._sphere(points)[0] + self.head(hidden).squeeze(-1)
        return said

    def features(self, hidden: Tensor) -> Tensor:
        """Return [N, width] features from hidden values [N, width]."""
        found: Tensor = self.feature(hidden)
        return found

    def focus(self, detail: float) -> None:
        """Let only the coarser share of the grid's levels learn; 1: all."""
        self.grid.focus(detail)

    def _sphere(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return about |p| - radius [N], and its gradient [N, 3]."""
        length = (points.square().sum(-1) + _SOFT**2).sqrt()
        return length - math.hypot(self._radius, _SOFT), points / length[:, None]
