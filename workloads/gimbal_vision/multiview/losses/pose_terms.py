"""Losses of poses: in view 0's frame, and of every view as every other one sees it.

Both sets are put together before they are averaged (multicar.md A6.6), so a sample of n views
counts n absolute and n (n - 1) relative poses. Of a rotation's two quaternions the nearer counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.robust import robust
from gimbal_vision.multiview.losses.target import Target
from gimbal_vision.multiview.precision import full
from gimbal_vision.poses import multiply_quaternions, quaternion_to_matrix

_SHORTEST = 1e-6
"""Length below which a predicted quaternion has no direction; it is read as no rotation."""


@dataclass(frozen=True, eq=False)
class Poses:
    """Of all views, camera to view 0.

    Attributes:
        quats: [B, N, 4] unit (x, y, z, w).
        trans: [B, N, 3].
    """

    quats: Tensor
    trans: Tensor

    def relative(self) -> Poses:
        """Return the pose of each view j as view i sees it, [B, N (i), N (j), ...]."""
        inverse = self.quats * self.quats.new_tensor([-1.0, -1.0, -1.0, 1.0])
        quats = multiply_quaternions(inverse[:, :, None], self.quats[:, None])
        offset = self.trans[:, None] - self.trans[:, :, None]
        return Poses(quats=quats, trans=offset @ quaternion_to_matrix(self.quats))


def predicted_poses(quats: Tensor, trans: Tensor, target: Target) -> Poses:
    """Return predicted poses, in full precision and with unit quaternions wherever a view is.

    Args:
        quats: [B, N, 4], as good as their precision; bfloat16 is off by .004.
        trans: [B, N, 3].
        target: Says which views are there; the others get no rotation and no gradient.
    """
    quats = full(quats)
    norm = torch.linalg.vector_norm(quats, dim=-1, keepdim=True)
    usable = (norm > _SHORTEST) & target.present[..., None]
    identity = quats.new_tensor([0.0, 0.0, 0.0, 1.0])
    one = torch.ones_like(norm)
    unit = torch.where(usable, quats, identity) / torch.where(usable, norm, one)
    return Poses(quats=unit, trans=torch.where(target.present[..., None], full(trans), 0.0))


def pose_sums(
    predicted: Poses, true: Poses, target: Target, *, absolute: bool, pairwise: bool
) -> dict[str, Tensor]:
    """Return the summed losses `pose_quats` and `pose_trans`.

    Args:
        predicted: Translations divided by their normaliser.
        true: Likewise.
        target: Says what counts.
        absolute: Whether to compare poses in view 0's frame.
        pairwise: Whether to compare poses as the other views see them.
    """
    sets = [(predicted, true)] * absolute
    if pairwise:
        sets.append((predicted.relative(), true.relative()))
    quats = predicted.quats.new_zeros(())
    trans = predicted.quats.new_zeros(())
    weights = _weights(target, absolute=absolute, pairwise=pairwise)
    for (found, wanted), weight in zip(sets, weights, strict=True):
        placed = _over(weight, target.placed)
        quats = quats + (robust(_turn(found.quats, wanted.quats)) * weight).sum()
        trans = trans + (robust(_squared(found.trans - wanted.trans)) * weight * placed).sum()
    return {"pose_quats": quats, "pose_trans": trans}


def pose_counts(target: Target, *, absolute: bool, pairwise: bool) -> dict[str, Tensor]:
    """Return how many poses `pose_sums` sums."""
    weights = _weights(target, absolute=absolute, pairwise=pairwise)
    zero = target.others.new_zeros(())
    return {
        "pose_quats": sum((weight.sum() for weight in weights), zero),
        "pose_trans": sum((_over(weight, target.placed).sum() for weight in weights), zero),
    }


def pose_errors(predicted: Poses, target: Target) -> dict[str, Tensor]:
    """Return the summed errors `pose_trans_m` and `pose_rot_deg` of all views but view 0.

    Args:
        predicted: Metric.
        target: Says what counts; translations do where the sample's lengths are metres.
    """
    offset = torch.linalg.vector_norm(predicted.trans - target.trans, dim=-1)
    inverse = target.quats * target.quats.new_tensor([-1.0, -1.0, -1.0, 1.0])
    turn = multiply_quaternions(inverse, predicted.quats)
    half = torch.atan2(torch.linalg.vector_norm(turn[..., :3], dim=-1), turn[..., 3].abs())
    return {
        "pose_trans_m": (offset * _over(target.others, target.metric)).sum(),
        "pose_rot_deg": (half * target.others).sum() * (360.0 / math.pi),
    }


def pose_error_counts(target: Target) -> dict[str, Tensor]:
    """Return how many poses `pose_errors` sums."""
    return {
        "pose_trans_m": _over(target.others, target.metric).sum(),
        "pose_rot_deg": target.others.sum(),
    }


def _weights(target: Target, *, absolute: bool, pairwise: bool) -> list[Tensor]:
    """Return which poses count: [B, N] of the absolute ones, [B, N, N] of the relative ones."""
    present = target.present.to(target.dtype)
    found = [present] * absolute
    if pairwise:
        both = present[:, :, None] * present[:, None]
        found.append(both * (1.0 - torch.eye(both.shape[-1], dtype=both.dtype, device=both.device)))
    return found


def _over(weight: Tensor, samples: Tensor) -> Tensor:
    """Return weights [B, ...] of those samples [B] alone."""
    return weight * samples.reshape(-1, *[1] * (weight.ndim - 1))


def _squared(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1)


def _turn(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared distance of unit quaternions, of either sign."""
    return torch.minimum(_squared(found - wanted), _squared(found + wanted))
