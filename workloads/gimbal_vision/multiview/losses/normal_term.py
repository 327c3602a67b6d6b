"""Loss of surface normals of the point map; synthetic samples only, for it needs exact depth.

Every 2 x 2 pixels have four corners, each with a normal: the cross product of a side along the row
and one along the column. The angle between true and predicted normal is clamped to 1 to 90 degrees,
taken by smooth L1 (beta 3 degrees, in radians), less its value at 1 degree so that the truth costs
nothing, and divided by the longer side of the image in pixels, as published (multicar.md A6.7).

It is the dearest of all terms, so its gradient is written out and found on the way forward, in 0.6
of the time that autograd takes. Clamped, an angle may come from its cosine: where that is
flat, there is no gradient anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.target import Target

_LEAST_RAD = math.radians(1.0)
_BETA_RAD = math.radians(3.0)
_FREE = _LEAST_RAD**2 / (2.0 * _BETA_RAD)
_TINY = 1e-30
_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Row and column of a corner in its 2 x 2 pixels."""


def normals(cam: Tensor, target: Target, *, wraps: bool) -> Tensor:
    """Return the summed loss of the corners' normals.

    Args:
        cam: [3, B, N, H, W] predicted points in camera axes.
        target: The true ones, and what counts.
        wraps: Whether the last column's neighbour is the first, as in a panorama.
    """
    weights = list(_corner_weights(target, wraps))
    true = _closed(target.scene.cam, wraps)
    total: Tensor = _NormalSum.apply(_closed(cam, wraps), true, weights)  # type: ignore[no-untyped-call]
    return total / max(cam.shape[-2:])


def normal_count(target: Target, *, wraps: bool) -> Tensor:
    """Return the weight of the corners that `normals` sums."""
    total = target.known.new_zeros(())
    for weight in _corner_weights(target, wraps):
        total = total + weight.sum()
    return total


def _closed(values: Tensor, wraps: bool) -> Tensor:
    """Return images [..., H, W] whose last column has its neighbour beside it."""
    return torch.cat([values, values[..., :1]], -1) if wraps else values


def _corner(values: Tensor, row: int, column: int) -> Tensor:
    """Return one pixel of every 2 x 2 of [..., H, W]."""
    height, width = values.shape[-2:]
    return values[..., row : height - 1 + row, column : width - 1 + column]


def _corner_weights(target: Target, wraps: bool) -> Iterator[Tensor]:
    """Give the weights of the four corners: of the pixel, where its three points are known."""
    known = _closed(target.known, wraps)
    weight = _closed(target.known_weight * target.synthetic[:, None, None, None], wraps)
    for row, column in _CORNERS:
        beside = _corner(known, row, 1 - column) * _corner(known, 1 - row, column)
        yield _corner(weight, row, column) * beside


@dataclass(frozen=True, eq=False)
class _Sides:
    """Differences of neighbours, and the same with coordinates y, z, x.

    Attributes:
        along: [3, ..., H, W - 1] along rows.
        along_next: Likewise.
        down: [3, ..., H - 1, W] along columns.
        down_next: Likewise.
    """

    along: Tensor
    along_next: Tensor
    down: Tensor
    down_next: Tensor

    @classmethod
    def of(cls, points: Tensor) -> _Sides:
        along = points[..., 1:] - points[..., :-1]
        down = points[..., 1:, :] - points[..., :-1, :]
        return cls(along, along.roll(-1, 0), down, down.roll(-1, 0))

    @classmethod
    def zeros(cls, like: _Sides) -> _Sides:
        along, down = torch.zeros_like(like.along), torch.zeros_like(like.down)
        return cls(along, along.clone(), down, down.clone())

    def at(self, row: int, column: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the four, where they meet in a corner."""
        height, width = self.along.shape[-2], self.down.shape[-1]
        rows, columns = slice(row, height - 1 + row), slice(column, width - 1 + column)
        return (
            self.along[..., rows, :],
            self.along_next[..., rows, :],
            self.down[..., columns],
            self.down_next[..., columns],
        )

    def normal(self, row: int, column: int) -> Tensor:
        """Return the cross product in a corner, its coordinates as z, x, y: no angle notices."""
        along, along_next, down, down_next = self.at(row, column)
        return (along * down_next).sub_(along_next * down)

    def add_gradient(self, row: int, column: int, g: Tensor, of: _Sides) -> None:
        """Add to these, which are gradients, what `g` of a corner's normal makes of them."""
        along, along_next, down, down_next = of.at(row, column)
        to_along, to_along_next, to_down, to_down_next = self.at(row, column)
        to_along.addcmul_(g, down_next)
        to_along_next.addcmul_(g, down, value=-1)
        to_down_next.addcmul_(g, along)
        to_down.addcmul_(g, along_next, value=-1)

    def gradient_of_points(self, like: Tensor) -> Tensor:
        """Return the gradient [3, ..., H, W] of the points, these being the sides' gradients."""
        along = self.along + self.along_next.roll(1, 0)
        down = self.down + self.down_next.roll(1, 0)
        points = torch.zeros_like(like)
        points[..., 1:] += along
        points[..., :-1] -= along
        points[..., 1:, :] += down
        points[..., :-1, :] -= down
        return points


class _NormalSum(torch.autograd.Function):
    """The weighted sum over all corners, with its gradient."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, true: Tensor, weights: list[Tensor]) -> Tensor:
        found, wanted = _Sides.of(points), _Sides.of(true)
        wants = ctx.needs_input_grad[0]
        gradients = _Sides.zeros(found) if wants else None
        total = points.new_zeros(())
        for corner, weight in zip(_CORNERS, weights, strict=True):
            loss = _AngleLoss.of(found.normal(*corner), wanted.normal(*corner))
            total = total + (loss.values() * weight).sum()
            if gradients is not None:
                gradients.add_gradient(*corner, loss.gradient(weight), of=found)
        if gradients is not None:
            ctx.save_for_backward(gradients.gradient_of_points(points))
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        return ctx.saved_tensors[0] * scale, None, None


@dataclass(frozen=True, eq=False)
class _AngleLoss:
    """Of the angles [...] between vectors [3, ...] of any length."""

    found: Tensor
    wanted: Tensor
    square: Tensor
    shrink: Tensor
    cosine: Tensor
    angle: Tensor

    @classmethod
    def of(cls, found: Tensor, wanted: Tensor) -> _AngleLoss:
        square = found.square().sum(0)
        shrink = (square * wanted.square().sum(0)).clamp_min_(_TINY).rsqrt_()
        cosine = (found * wanted).sum(0).mul_(shrink)
        angle = torch.acos(cosine.clamp(0.0, math.cos(_LEAST_RAD)))
        return cls(found, wanted, square, shrink, cosine, angle)

    def values(self) -> Tensor:
        near = self.angle.square() * (0.5 / _BETA_RAD)
        far = self.angle - 0.5 * _BETA_RAD
        return torch.where(self.angle < _BETA_RAD, near, far).sub_(_FREE)

    def gradient(self, weight: Tensor) -> Tensor:
        """Return the gradient of `found`, of the values times `weight`."""
        free = (self.cosine > 0.0) & (self.cosine < math.cos(_LEAST_RAD))
        slope = (self.angle / _BETA_RAD).clamp_max_(1.0).mul_(weight).mul_(free)
        slope = slope.div_(-torch.sin(self.angle))
        kept = (slope * self.cosine).div_(self.square.clamp_min(_TINY))
        return (self.wanted * slope.mul_(self.shrink)).addcmul_(self.found, kept, value=-1)
