"""From the last layer's numbers to a direction, in five ways that differ where they break.

Azimuth runs around the first view frame's y axis, from z (the first camera) towards x; elevation
rises towards y. So the opposite of the first view is in the middle of every range, and the seam is
at the first view itself, where a next view hardly ever is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nbv.attention.shape import HeadName

HEAD_NUMBERS: dict[HeadName, int] = {
    "cartesian": 3,
    "spherical": 2,
    "spherical_periodic": 3,
    "unit_vector": 3,
}
"""Numbers K that each continuous head reads."""

SMALLEST_NORM = 1e-6
"""Vectors shorter than this are not made longer, so that no gradient is beyond 1e6."""


@dataclass(frozen=True, eq=False)
class Aim:
    """A direction and how it was said.

    Attributes:
        direction: Unit vectors [B,3].
        point: The point itself [B,3], of a cartesian head only.
        norm: Length before normalising [B], of a unit vector only.
        angles: Azimuth in [0, 2 pi] and elevation [B,2], of a spherical head only.
    """

    direction: Tensor
    point: Tensor | None = None
    norm: Tensor | None = None
    angles: Tensor | None = None


def aim(head: HeadName, raw: Tensor) -> Aim:
    """Return the direction that a continuous head means.

    - cartesian: any point of space; its distance is dropped because the protocol sets the radius.
    - spherical: azimuth (tanh a + 1) pi and elevation tanh(b) pi/2. It has a seam that is reached
      only where tanh is flat, and at the poles azimuth says nothing.
    - spherical_periodic: azimuth of the vector (cos, sin), elevation tanh(b) pi/2: no seam, but
      the same poles.
    - unit_vector: the vector normalised. No seam and no pole; only 0 has no direction, which the
      objectives keep it from by holding its length near 1.

    Args:
        head: Any but discrete.
        raw: [B,K], see `HEAD_NUMBERS`.
    """
    if head == "cartesian":
        return Aim(_unit(raw), point=raw)
    if head == "unit_vector":
        return Aim(_unit(raw), norm=length(raw))
    elevation = torch.tanh(raw[:, -1]) * (pi / 2)
    if head == "spherical":
        azimuth = (torch.tanh(raw[:, 0]) + 1) * pi
        angles = torch.stack([azimuth, elevation], dim=-1)
        return Aim(from_angles(angles), angles=angles)
    cosine, sine = _unit(raw[:, :2]).unbind(-1)
    return Aim(_from_circle(cosine, sine, elevation))


def from_angles(angles: Tensor) -> Tensor:
    """Return the unit vectors [...,3] of azimuths and elevations in radians [...,2]."""
    azimuth, elevation = angles.unbind(-1)
    return _from_circle(azimuth.cos(), azimuth.sin(), elevation)


def to_angles(directions: Tensor) -> Tensor:
    """Return azimuth in [0, 2 pi) and elevation in radians [...,2] of unit vectors [...,3]."""
    x, y, z = directions.unbind(-1)
    azimuth = torch.remainder(torch.atan2(x, z), 2 * pi)
    return torch.stack([azimuth, torch.asin(y.clamp(-1, 1))], dim=-1)


def length(vectors: Tensor) -> Tensor:
    """Return lengths [...] of vectors [...,3], with a gradient of 0 rather than NaN at 0."""
    scale = _scale(vectors)
    squares = (vectors / scale).square().sum(-1) + (SMALLEST_NORM / scale[..., 0]).square()
    return scale[..., 0] * squares.sqrt()


def refine(candidates: Tensor, best: Tensor, offset: Tensor) -> Tensor:
    """Return the best candidates moved on the sphere by up to half the way to the next one.

    Args:
        candidates: Unit vectors [B,M,3].
        best: Index of each state's best [B].
        offset: Any vectors [B,3]; only their part tangent to the sphere counts, and a length of
            l gives l/(1+l) of the greatest angle.

    Returns:
        Unit vectors [B,3]; the best candidate stays the nearest.
    """
    index = best.view(-1, 1, 1).expand(-1, 1, 3)
    centre = candidates.gather(1, index)[:, 0]
    cosine = (candidates @ centre.unsqueeze(-1))[..., 0]
    others = cosine.scatter(1, best.unsqueeze(1), -1.0)
    most = torch.acos(others.amax(1).clamp(-1, 1)) / 2
    scale = _scale(offset)
    short = offset / scale
    tangent = short - (short * centre).sum(-1, keepdim=True) * centre
    size = length(tangent)
    angle = most * size / (1 / scale[..., 0] + size)
    step = (angle.sin() / size).unsqueeze(-1) * tangent
    return functional.normalize(angle.cos().unsqueeze(-1) * centre + step, dim=-1)


def _scale(vectors: Tensor) -> Tensor:
    """Return what to divide vectors [...,K] by so that their squares fit the type: at least 1.

    It has no gradient, for it cancels out wherever it is used.
    """
    return vectors.detach().abs().amax(-1, keepdim=True).clamp(min=1)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors / _scale(vectors), dim=-1, eps=SMALLEST_NORM)


def _from_circle(cosine: Tensor, sine: Tensor, elevation: Tensor) -> Tensor:
    around = elevation.cos()
    return torch.stack([around * sine, elevation.sin(), around * cosine], dim=-1)
