"""Quadratic B-splines over grids of learnt values: smooth, and with a gradient that is smooth, too.

Between values that are blended linearly a slope jumps at every cell, and normals with it; a
quadratic spline's slope is continuous, and is had from the same gathered values as the spline
itself, so it costs neither autograd nor more points (Neuralangelo's differences take six).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TAPS = 3
"""Values that a spline blends along each axis."""


def places(coordinates: Tensor, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which values a spline blends along one axis, and how.

    Args:
        coordinates: Any shape; beyond [-1, 1] they count as the nearest end.
        resolution: Values along the axis, at least 3; there are two cells fewer.

    Returns:
        Index of the first of three values, int64; their weights [..., 3], whose sum is 1; and those
        weights' slopes [..., 3].
    """
    cells = resolution - (TAPS - 1)
    along = (coordinates.clamp(-1.0, 1.0) + 1.0) * (0.5 * cells)
    first = along.detach().floor().clamp(max=cells - 1.0)
    part = along - first
    rest = 1.0 - part
    weights = torch.stack([0.5 * rest * rest, 0.5 + part * rest, 0.5 * part * part], dim=-1)
    slopes = torch.stack([-rest, rest - part, part], dim=-1) * (0.5 * cells)
    within = (coordinates.abs() <= 1.0)[..., None]
    return first.long(), weights, slopes * within


def products(weights: Tensor, slopes: Tensor) -> Tensor:
    """Return what each of 3^D gathered values counts for the spline and for its D slopes.

    Args:
        weights: [N, D, 3]
        slopes: [N, D, 3]

    Returns:
        [N, 1 + D, 3^D], the last axis of coordinates fastest: first the value, then d/dx_1, ...
    """
    count = weights.shape[1]
    rows = [_outer([weights[:, axis] for axis in range(count)])]
    for bent in range(count):
        rows.append(_outer([(slopes if a == bent else weights)[:, a] for a in range(count)]))
    return torch.stack(rows, dim=1)


def only_values(weights: Tensor) -> Tensor:
    """Return the first row [N, 1, 3^D] of `products` alone."""
    return _outer(list(weights.unbind(1)))[:, None]


def blended(table: Tensor, indices: Tensor, counted: Tensor) -> Tensor:
    """Return sums of gathered rows.

    Args:
        table: [T, C]
        indices: int64 [N, K] rows.
        counted: [N, S, K] of `products`.

    Returns:
        [N, S, C]
    """
    gathered = table.index_select(0, indices.flatten()).view(*indices.shape, table.shape[1])
    return torch.bmm(counted, gathered)


def _outer(factors: Sequence[Tensor]) -> Tensor:
    """Return the products [N, 3^D] of D factors [N, 3]."""
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, :, None] * factor[:, None]).flatten(1)
    return product
