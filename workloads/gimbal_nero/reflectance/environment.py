"""Directions chosen by the brightness of a picture of the surrounding light.

The picture only steers where light is asked: what is added up comes from the light itself, so an
outdated picture costs noise and never bias. It is z-up, as exported lights are: the centre column
is +x, row 0 is +z. Tables are in double precision, since sums over half a million pixels are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal_nero.reflectance.errors import ReflectanceError
from gimbal_nero.reflectance.sampling import on_ring


class EnvironmentTable:
    """Chooses directions of the world by the mean of a picture's colours.

    Args:
        picture: [H, 2H, 3] linear radiance, latitude-longitude, z-up.

    Raises:
        ReflectanceError: The picture is black, negative, not finite or of another shape.
    """

    def __init__(self, picture: Tensor) -> None:
        _check(picture)
        rows, columns = picture.shape[:2]
        edges = torch.arange(rows + 1, dtype=torch.float64, device=picture.device)
        self._heights = (edges * (math.pi / rows)).cos()
        bands = self._heights[:-1] - self._heights[1:]
        power = picture.detach().double().mean(dim=-1) * bands[:, None]
        shares = power / power.sum()
        of_rows = shares.sum(dim=1)
        self._rows = _cumulative(of_rows)
        self._columns = _cumulative(shares / of_rows.clamp(min=1e-300)[:, None])
        self._density = shares / (bands[:, None] * (2.0 * math.pi / columns))

    def directions(self, places: Tensor) -> Tensor:
        """Return directions of the world [..., 3].

        Args:
            places: [..., 2] in the unit square.
        """
        columns = self._density.shape[1]
        u, v = places.double().clamp(max=1.0 - 1e-7).unbind(-1)
        row, down = _find(self._rows, u)
        column, across = _find_in_rows(self._columns, row, v)
        height = self._heights[row] + down * (self._heights[row + 1] - self._heights[row])
        sine = (1.0 - height.square()).clamp(min=0.0).sqrt()
        turn = 0.5 - (column + across) / columns
        return on_ring(sine, height, turn).to(places.dtype)

    def density(self, directions: Tensor) -> Tensor:
        """Return how densely `directions` chooses them [..., 1], per steradian.

        Args:
            directions: [..., 3] of length 1, of the world.
        """
        rows, columns = self._density.shape
        x, y, z = directions.double().unbind(-1)
        row = z.clamp(-1.0, 1.0).acos() / math.pi * rows
        column = (0.5 - torch.atan2(y, x) / (2.0 * math.pi)) * columns
        at = row.long().clamp(max=rows - 1), column.long() % columns
        return self._density[at].unsqueeze(-1).to(directions.dtype)


def _check(picture: Tensor) -> None:
    height = picture.shape[0] if picture.ndim else 0
    if picture.shape != (height, 2 * height, 3) or not height:
        raise ReflectanceError(
            f"a picture of the light has shape {list(picture.shape)}, not [H, 2H, 3]",
            "give the whole sphere in latitude and longitude, with three colours",
        )
    if not bool(picture.isfinite().all()) or float(picture.min()) < 0.0:
        raise ReflectanceError(
            "a picture of the light has colours that are negative or not finite",
            "give linear radiance, at least 0 everywhere",
        )
    if not float(picture.max()) > 0.0:
        raise ReflectanceError(
            "a picture of the light is black everywhere",
            "write mc.environment_samples: 0, or give the light's picture",
        )


def _cumulative(shares: Tensor) -> Tensor:
    """Return edges [..., K + 1] from 0 to 1."""
    sums = shares.cumsum(dim=-1)
    sums = sums / sums[..., -1:].clamp(min=1e-300)
    return torch.cat([torch.zeros_like(sums[..., :1]), sums], dim=-1)


def _find(edges: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the interval of each place, and how far into it the place lies."""
    index = torch.searchsorted(edges, places.contiguous(), right=True) - 1
    index = index.clamp(0, len(edges) - 2)
    start, end = edges[index], edges[index + 1]
    return index, (places - start) / (end - start).clamp(min=1e-300)


def _find_in_rows(edges: Tensor, row: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Return likewise for places [...], each among the edges [H, K + 1] of its own row.

    Rows are laid out one after another on one line, so that one search serves them all.
    """
    rows, ends = edges.shape
    line = edges + torch.arange(rows, dtype=edges.dtype, device=edges.device)[:, None]
    found = torch.searchsorted(line.flatten(), (places + row).contiguous(), right=True) - 1
    index = (found - row * ends).clamp(0, ends - 2)
    start, end = edges[row, index], edges[row, index + 1]
    return index, ((places - start) / (end - start).clamp(min=1e-300)).clamp(0.0, 1.0)
