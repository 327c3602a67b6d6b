"""Geometry of samples in view 0's frame, coordinates first; truth and prediction alike.

The normaliser of a sample is the mean distance of its *known* points from view 0. Everything with
a length is divided by its own side's normaliser, so predictions need not be divided by the metric
scale beforehand: it would cancel. Coordinates come first because sums over a trailing axis of three
cost a CPU several times more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.robust import length, log_map
from gimbal_vision.multiview.precision import full
from gimbal_vision.multiview.views import Predictions

_TINY = 1e-20


def planes_of(vectors: Tensor) -> Tensor:
    """Return vectors [..., 3] as planes [3, ...]."""
    return vectors.movedim(-1, 0).contiguous()


def per_sample(values: Tensor) -> Tensor:
    """Return [B] as [B, 1, 1, 1], to be broadcast over pixels."""
    return values[:, None, None, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """Points, ranges and rays of all views.

    Attributes:
        world: [3, B, N, H, W] points in view 0's frame.
        cam: [3, B, N, H, W] points in each camera's axes.
        ranges: [B, N, H, W] along rays.
        rays: [3, B, N, H, W] unit, or [3, H, W].
        distance: [B, N, H, W] of each point from view 0.
        norm: [B] mean distance of the known points; 1 where none is known, which nothing may use.
        shrink: [B, 1, 1, 1] its inverse.
    """

    world: Tensor
    cam: Tensor
    ranges: Tensor
    rays: Tensor
    distance: Tensor
    norm: Tensor
    shrink: Tensor

    def mapped_world(self) -> Tensor:
        """Return the log map of the normalised points in view 0's frame."""
        return log_map(self.world, self.distance, self.shrink)

    def mapped_cam(self) -> Tensor:
        """Return the log map of the normalised points in camera axes."""
        return log_map(self.cam, length(self.cam), self.shrink)

    def mapped_ranges(self) -> Tensor:
        """Return the log map of the normalised ranges."""
        return torch.log1p(self.ranges * self.shrink)


def scene_of(world: Tensor, cam: Tensor, ranges: Tensor, rays: Tensor, known: Tensor) -> Scene:
    """Return a scene with its normaliser.

    Args:
        world: See `Scene`, as the next three.
        cam: -
        ranges: -
        rays: -
        known: [B, N, H, W] 1 where the true range is known, else 0.
    """
    distance = length(world)
    count = known.sum((1, 2, 3))
    mean = (distance * known).sum((1, 2, 3)) / count.clamp_min(1.0)
    norm = torch.where(count > 0, mean.clamp_min(_TINY), 1.0)
    return Scene(
        world=world,
        cam=cam,
        ranges=ranges,
        rays=rays,
        distance=distance,
        norm=norm,
        shrink=per_sample(1.0 / norm),
    )


def predicted_scene(predictions: Predictions, known: Tensor) -> Scene:
    """Return what was predicted, with the mean over the pixels whose true range is `known`."""
    return scene_of(
        planes_of(full(predictions.pts3d)),
        planes_of(full(predictions.pts3d_cam)),
        full(predictions.depth_along_ray)[..., 0],
        planes_of(full(predictions.ray_directions)),
        known,
    )
