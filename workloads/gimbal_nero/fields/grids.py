"""Features of points from learnt grids: three planes, or a space hashed at several resolutions.

Both start at 0, so a grid that has not learnt says nothing, and levels that are not learnt yet need
no mask: they only get no gradient (coarse to fine, Neuralangelo). Tables are multiplied by
`_STRENGTH`: with an optimizer that normalises its steps, that is a higher learning rate for them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from gimbal_nero.fields.settings import GridSettings
from gimbal_nero.fields.splines import TAPS, blended, only_values, places, products

_STRENGTH = 10.0
_PRIMES = (1, 2_654_435_761, 805_459_861)


class _Levels(nn.Module):
    """Tables of several resolutions, of which the first `awake` learn."""

    def __init__(self, settings: GridSettings, rows: list[int]) -> None:
        super().__init__()
        self.resolutions = resolutions(settings)
        self.tables = nn.ParameterList(
            nn.Parameter(torch.zeros(count, settings.features)) for count in rows
        )
        self._awake = len(rows)

    def features(self, points: Tensor) -> Tensor:
        """Return [N, size] features of [N, 3] points."""
        return self._asked(points, slopes=False).flatten(1)

    def with_slopes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return [N, size] features and slopes [N, pieces, axes, features].

        Pieces are planes of all levels, which have two axes, or levels of space, which has three.
        """
        found = self._asked(points, slopes=True)
        return found[:, :, 0].flatten(1), found[:, :, 1:]

    @abstractmethod
    def _asked(self, points: Tensor, *, slopes: bool) -> Tensor:
        """Return [N, pieces, 1 or 1 + axes, features]: values, and their slopes where asked."""

    def focus(self, detail: float) -> None:
        """Let only the coarser share of the levels learn; 1: all."""
        self._awake = max(1, math.ceil(detail * len(self.tables)))

    def table(self, level: int) -> Tensor:
        """Return the rows of a level."""
        table = cast("Tensor", self.tables[level])
        return _STRENGTH * (table if level < self._awake else table.detach())


class TriPlanes(_Levels):
    """Splines over the planes xy, yz and zx, side by side (EG3D).

    Args:
        settings: How many values along each side, and how many numbers each.
    """

    def __init__(self, settings: GridSettings) -> None:
        super().__init__(settings, [3 * side * side for side in resolutions(settings)])
        self.size = 3 * settings.features * settings.levels

    def pull_back(self, slopes: Tensor, gradient: Tensor) -> Tensor:
        """Bring a gradient [N, size] with respect to features back to points, [N, 3]."""
        of_planes = gradient.view(len(gradient), slopes.shape[1], 1, slopes.shape[3])
        pulled = (slopes * of_planes).sum(-1).view(len(gradient), len(self.tables), 3, 2).sum(1)
        first, second = pulled.unbind(-1)
        total: Tensor = first + second.roll(1, dims=-1)
        return total

    def _asked(self, points: Tensor, *, slopes: bool) -> Tensor:
        """Return [N, 3 levels, 1 or 3, features]."""
        count = len(points)
        found = []
        for level, side in enumerate(self.resolutions):
            first, weights, bent = places(points, side)
            rows = first * side + first.roll(-1, dims=1)
            rows = rows + side * side * torch.arange(3, device=points.device)
            steps = torch.arange(TAPS, device=points.device)
            taps = (side * steps[:, None] + steps).flatten()
            both = [
                torch.stack([part, part.roll(-1, dims=1)], dim=2).flatten(0, 1)
                for part in (weights, bent)
            ]
            counted = products(*both) if slopes else only_values(both[0])
            indices = (rows[..., None] + taps).flatten(0, 1)
            values = blended(self.table(level), indices, counted)
            found.append(values.view(count, 3, *values.shape[1:]))
        return torch.cat(found, dim=1)


class HashGrid(_Levels):
    """Splines over cubes of several resolutions, whose values share a table (Instant-NGP).

    A level whose cube fits its table is not hashed.

    Args:
        settings: Levels, their resolutions, and the most rows of a table.
    """

    def __init__(self, settings: GridSettings) -> None:
        most = 2**settings.log2_rows
        super().__init__(settings, [min(side**3, most) for side in resolutions(settings)])
        self.size = settings.features * settings.levels

    def pull_back(self, slopes: Tensor, gradient: Tensor) -> Tensor:
        """Bring a gradient [N, size] with respect to features back to points, [N, 3]."""
        of_levels = gradient.view(len(gradient), slopes.shape[1], 1, slopes.shape[3])
        pulled: Tensor = (slopes * of_levels).sum(dim=(1, 3))
        return pulled

    def _asked(self, points: Tensor, *, slopes: bool) -> Tensor:
        """Return [N, levels, 1 or 4, features]."""
        found = []
        for level, side in enumerate(self.resolutions):
            first, weights, bent = places(points, side)
            table = self.table(level)
            indices = self._rows(first, side, len(table))
            counted = products(weights, bent) if slopes else only_values(weights)
            found.append(blended(table, indices, counted))
        return torch.stack(found, dim=1)

    def _rows(self, first: Tensor, side: int, count: int) -> Tensor:
        """Return the rows [N, 27] of the values around first [N, 3]."""
        steps = torch.arange(TAPS, device=first.device)
        x, y, z = (first[..., None] + steps).unbind(1)
        if side**3 <= count:
            plane = (x[:, :, None] * side + y[:, None]) * side
            return (plane[..., None] + z[:, None, None]).flatten(1)
        x, y, z = (axis * prime for axis, prime in zip((x, y, z), _PRIMES, strict=True))
        mixed = (x[:, :, None] ^ y[:, None])[..., None] ^ z[:, None, None]
        return (mixed & (count - 1)).flatten(1)


def resolutions(settings: GridSettings) -> list[int]:
    """Return the values along a side of each level, from coarsest to finest by equal factors."""
    steps = max(1, settings.levels - 1)
    ratio = settings.finest / settings.coarsest
    return [round(settings.coarsest * ratio ** (k / steps)) for k in range(settings.levels)]
