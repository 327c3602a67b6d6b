"""Loss of surface normals of the point map; synthetic samples only, for it needs exact depth.

Every 2 x 2 pixels have four corners, each with a normal: the cross product of its two sides. The
angle between true and predicted normal is clamped to 1 to 90 degrees, taken by smooth L1 (beta 3
degrees, in radians), less its value at 1 degree so that the truth costs nothing, and divided by the
longer side of the image in pixels, as published (multicar.md A6.7). Clamped, an angle may come from
its cosine: where that is flat, there is no gradient anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.target import Target

_LEAST_RAD = math.radians(1.0)
_BETA_RAD = math.radians(3.0)
_FREE = _LEAST_RAD**2 / (2.0 * _BETA_RAD)
_TINY = 1e-30


def normals(cam: Tensor, target: Target, *, wraps: bool) -> Tensor:
    """Return the summed loss of the corners' normals.

    Args:
        cam: [3, B, N, H, W] predicted points in camera axes.
        target: The true ones, and what counts.
        wraps: Whether the last column's neighbour is the first, as in a panorama.
    """
    total = cam.new_zeros(())
    corners = zip(
        _corner_normals(cam, wraps),
        _corner_normals(target.scene.cam, wraps),
        _corner_weights(target, wraps),
        strict=True,
    )
    for found, wanted, weight in corners:
        total = total + (_angle_loss(found, wanted) * weight).sum()
    return total / max(cam.shape[-2:])


def normal_count(target: Target, *, wraps: bool) -> Tensor:
    """Return the weight of the corners that `normals` sums."""
    total = target.known.new_zeros(())
    for weight in _corner_weights(target, wraps):
        total = total + weight.sum()
    return total


def _quad(values: Tensor, wraps: bool) -> list[Tensor]:
    """Return the four pixels of every 2 x 2 of [..., H, W], clockwise from the upper left."""
    if wraps:
        values = torch.cat([values, values[..., :1]], -1)
    upper, lower = values[..., :-1, :], values[..., 1:, :]
    return [upper[..., :-1], upper[..., 1:], lower[..., 1:], lower[..., :-1]]


def _corner_normals(points: Tensor, wraps: bool) -> Iterator[Tensor]:
    """Give the normals [3, ..., H - 1, W or W - 1] of the four corners, of any length.

    Their coordinates come as z, x, y, which no angle notices: the last step of the cross product
    is left out.
    """
    quad = _quad(points, wraps)
    sides = [quad[(k + 1) % 4] - quad[k] for k in range(4)]
    turned = [side.roll(-1, 0) for side in sides]
    for k in range(4):
        yield sides[k - 1] * turned[k] - turned[k - 1] * sides[k]


def _corner_weights(target: Target, wraps: bool) -> Iterator[Tensor]:
    """Give the weights of the four corners: of the pixel, where its three points are known."""
    known = _quad(target.known, wraps)
    weight = _quad(target.known_weight * target.synthetic[:, None, None, None], wraps)
    for k in range(4):
        yield weight[k] * known[k - 1] * known[(k + 1) % 4]


def _angle_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of the angle between vectors [3, ...]."""
    squares = found.square().sum(0) * wanted.square().sum(0)
    cosine = (found * wanted).sum(0) * squares.clamp_min(_TINY).rsqrt()
    angle = torch.acos(cosine.clamp(0.0, math.cos(_LEAST_RAD)))
    near = angle.square() * (0.5 / _BETA_RAD)
    return torch.where(angle < _BETA_RAD, near, angle - 0.5 * _BETA_RAD) - _FREE
