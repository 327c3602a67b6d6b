"""Distances at the corners of a coarse grid, asked now and then: where surface can be at all.

A look-up costs next to nothing, so rays find the surface's neighbourhood without asking the
networks. What is kept follows from the weights at fixed steps alone, and is saved beside them, so
every worker has the same and a training that goes on has what it had.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Distance = Callable[[Tensor], Tensor]
"""From points [N, 3] to distances [N]."""

_AT_ONCE = 65_536
_REACH_IN_WIDTHS = 6.0
"""Widths 1 / inv_s from the surface beyond which a point's opacity is below e^-6."""


class DistanceCache(nn.Module):
    """Distances over the cube [-1, 1]^3.

    Args:
        side: Corners along each side.
    """

    values: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self._axis = torch.linspace(-1.0, 1.0, side)
        self.register_buffer("values", torch.zeros(side, side, side))

    @property
    def cell(self) -> float:
        """Side of a cell."""
        return 2.0 / (len(self._axis) - 1)

    def update(self, distance: Distance) -> None:
        """Ask all corners anew; without gradients."""
        like = self.values
        axis = self._axis.to(like)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        corners = torch.stack([x, y, z], dim=-1).view(-1, 3)
        with torch.no_grad():
            found = [distance(part) for part in torch.split(corners, _AT_ONCE)]
            like.copy_(torch.cat(found).view_as(like))

    def look_up(self, points: Tensor) -> Tensor:
        """Return [...] distances of [..., 3] points, blended linearly, those outside as the rim."""
        asked = points.reshape(1, -1, 1, 1, 3)
        found = functional.grid_sample(
            self.values[None, None], asked, padding_mode="border", align_corners=True
        )
        return found.view(points.shape[:-1])

    def reach(self, inv_s: Tensor) -> Tensor:
        """Return how far from the surface a cached distance may be where there is opacity."""
        return self.cell + _REACH_IN_WIDTHS / inv_s
