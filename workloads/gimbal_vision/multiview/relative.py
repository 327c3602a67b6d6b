"""Known ranges and poses without their scale, and that scale apart: what the encoders are told.

Differentiable with respect to the given poses, also at view 0, whose translation is zero there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_vision.multiview.precision import full
from gimbal_vision.multiview.views import InputUse, Views
from gimbal_vision.poses import multiply_quaternions, normalise_quaternion, quaternion_to_matrix

_SMALLEST_MEAN = 1e-8
_KEPT_OF_SPARSE = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownRanges:
    """Ranges that the model is told.

    Attributes:
        used: [B, N] bool: the view's ranges are used and at least one is known.
        relative: [B, N, H, W, 1] over the view's mean; 0 where unknown.
        mean_m: [B, N] mean of the known ones; 1 where there are none.
    """

    used: Tensor
    relative: Tensor
    mean_m: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class RelativePoses:
    """Poses that the model is told, relative to view 0's.

    Attributes:
        used: [B, N] bool.
        quats: [B, N, 4] unit; the identity where unused.
        trans: [B, N, 3] over the mean distance; 0 where unused.
        mean_m: [B] mean distance of the used views from view 0, those at it left out.
    """

    used: Tensor
    quats: Tensor
    trans: Tensor
    mean_m: Tensor


def known_ranges(views: Views, use: InputUse) -> KnownRanges | None:
    """Return the ranges that `use` says, or None where `views` has none."""
    if views.depth_along_ray is None:
        return None
    used = there(use.depth, views)
    ranges = torch.where(used[:, :, None, None, None], full(views.depth_along_ray), 0.0)
    known = ranges > 0
    if use.sparse_key is not None:
        dense = ~use.sparse_depth[:, None, None, None, None]
        known = known & (dense | kept_pixels(use.sparse_key, ranges.shape))
    ranges = torch.where(known, ranges, 0.0)
    count = known.sum((2, 3, 4))
    mean = ranges.sum((2, 3, 4)) / count.clamp_min(1)
    mean = torch.where(count > 0, mean, 1.0)
    return KnownRanges(
        used=used & (count > 0), relative=ranges / mean[:, :, None, None, None], mean_m=mean
    )


def relative_poses(views: Views, use: InputUse) -> RelativePoses | None:
    """Return the poses that `use` says, or None where `views` has none."""
    if views.camera_pose_quats is None or views.camera_pose_trans is None:
        return None
    used = there(use.pose, views)
    used = used & used[:, :1]
    quats, trans = _sanitised(views.camera_pose_quats, views.camera_pose_trans, used)
    back = quats[:, :1] * quats.new_tensor([-1.0, -1.0, -1.0, 1.0])
    local = (trans - trans[:, :1]) @ quaternion_to_matrix(quats[:, 0])
    distance = torch.linalg.vector_norm(local, dim=-1)
    mean = distance.sum(1) / (distance > 0).sum(1).clamp_min(1)
    mean = mean.clamp_min(_SMALLEST_MEAN)
    return RelativePoses(
        used=used,
        quats=normalise_quaternion(multiply_quaternions(back, quats)),
        trans=local / mean[:, None, None],
        mean_m=mean,
    )


def there(used: Tensor, views: Views) -> Tensor:
    """Return [B, N] bool: used, and of a view that is present."""
    return used if views.present is None else used & views.present


def kept_pixels(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Return bool of `shape`, one in ten true: which pixels sparse ranges keep.

    A pixel's fate is a hash of its sample's key and its place in the sample, not a draw from a
    generator: it is the same on every worker and in every batch that the sample comes in.

    Args:
        key: [B] int64.
        shape: (B, ...); places are counted row by row over the other axes.
    """
    places = torch.arange(math.prod(shape[1:]), device=key.device)
    mixed = _mix(_mix(key)[:, None] + places)
    return (mixed < int(_KEPT_OF_SPARSE * 2**32)).view(*shape)


def _mix(number: Tensor) -> Tensor:
    """Return 32 well-stirred bits of int64 numbers: the finaliser of MurmurHash3."""
    bits = number & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    bits = ((bits ^ (bits >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return bits ^ (bits >> 16)


def _sanitised(quats: Tensor, trans: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Return poses in which the unused ones are not turned and stand where view 0 stands."""
    quats, trans, seen = full(quats), full(trans), used[..., None]
    origin = torch.where(seen[:, :1], trans[:, :1], 0.0)
    identity = quats.new_tensor([0.0, 0.0, 0.0, 1.0])
    return torch.where(seen, quats, identity), torch.where(seen, trans, origin)
