"""From points near a surface onto it, by Newton's steps along the slope of its distance.

Steps go along the slope and not along the ray that found the point: at grazing views a step along
the ray runs away, and the nearest point lies within a fraction of a cell of the mesh anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gimbal_nero.learning.port import Fields

DistanceField = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From points [N, 3] to distances [N], positive outside, and their gradients [N, 3]."""

_FLAT = 1e-3
"""Slopes below it have no direction; a distance has 1."""
_SETTLED = 0.1
"""Of the reach, within which the surface counts as found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Refined:
    """Points after Newton's steps.

    Attributes:
        points: [N, 3]
        normals: [N, 3] unit, outwards: the direction of the slope there.
        settled: [N] bool, whether the surface was found within reach; elsewhere the rest means
            nothing.
    """

    points: Tensor
    normals: Tensor
    settled: Tensor


def field_of(fields: Fields, module: nn.Module) -> DistanceField:
    """Return the distance of a trained shape and its slope, without a graph."""
    like = next(module.parameters())

    def distance(points: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            asked = points.to(like)
            found = fields.sdf(module, asked), fields.gradients(module, asked)
        return found[0].to(points), found[1].to(points)

    return distance


def newton(points: Tensor, field: DistanceField, steps: int, reach: float) -> Refined:
    """Return the nearest points of a surface: p <- p - s grad s / |grad s|^2.

    Args:
        points: [N, 3] near the surface.
        field: Its distance.
        steps: At least 1.
        reach: Furthest that a point may move.
    """
    place = points
    for _ in range(steps):
        distance, slope = field(place)
        steep = (slope * slope).sum(-1, keepdim=True).clamp(min=_FLAT**2)
        moved = place - distance[:, None] * slope / steep - points
        far = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
        place = points + moved * (reach / far.clamp(min=reach))
    distance, slope = field(place)
    length = torch.linalg.vector_norm(slope, dim=-1)
    found = distance.abs() <= _SETTLED * reach * length
    finite = place.isfinite().all(-1) & slope.isfinite().all(-1)
    return Refined(
        points=place,
        normals=slope / length.clamp(min=_FLAT)[:, None],
        settled=found & finite & (length > _FLAT),
    )


def newton_in_parts(
    points: Tensor, field: DistanceField, steps: int, reach: float, at_once: int
) -> Refined:
    """Return what `newton` does, asking the field for at most `at_once` points a call."""
    parts = [newton(part, field, steps, reach) for part in torch.split(points, at_once)]
    return Refined(
        points=torch.cat([part.points for part in parts]),
        normals=torch.cat([part.normals for part in parts]),
        settled=torch.cat([part.settled for part in parts]),
    )
