"""The term `match`: each patch says which patch of another view shows the same, or that none does.

What is the same follows from the truth: a patch's mean point, seen from the other view, falls into
one of its patches, and that patch's range says that the point is not hidden. No camera model takes
part, only the directions of rays, so panoramas and pinhole images match alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gimbal_vision.multiview.matching import Matches
from gimbal_vision.multiview.patches import Patches, patches_of, pooled
from gimbal_vision.multiview.views import Truth
from gimbal_vision.poses import invert_pose

SAME_LOG_RANGE = 0.25
"""Ranges agree if their logarithms differ by less: a patch of a street is not flat."""
SOLID = 0.5
"""Share of a patch's pixels in which something must be seen, for it to be a thing and not sky."""
MEASURED = 0.05
"""Share of those whose range must be known: a few returns of a LiDAR say where a patch is. Where
fewer are, nothing is known, and nothing is taught."""
UNMATCHED_WEIGHT = 0.1
"""Most patches are not seen by another view; they must not drown those that are."""


@dataclass(frozen=True, kw_only=True)
class MatchTerm:
    """How patches are taught to match.

    Attributes:
        patch: Side of the model's patches in pixels.
        weight: Of the term in the total. Not published: a cross entropy is a tenth of what the
            robust distances are while poses are unknown.
    """

    patch: int
    weight: float = 20.0


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchTargets:
    """What matches what in all M = N (N - 1) ordered pairs of views.

    Attributes:
        source: int64 [M].
        target: int64 [M].
        label: int64 [B, M, P] patch of the target, or P: it shows none of it.
        weight: [B, M, P].
    """

    source: Tensor
    target: Tensor
    label: Tensor
    weight: Tensor


@torch.no_grad()
def match_targets(truth: Truth, grid: tuple[int, int]) -> MatchTargets:
    """Return what matches, from the truth alone.

    Args:
        truth: What the views are.
        grid: Rows and columns of patches.
    """
    source, target = _pairs(truth.present.shape[1], truth.present.device)
    known = truth.valid_mask.to(truth.depth_along_ray.dtype)
    patches = patches_of(truth.ray_directions_cam, truth.depth_along_ray[..., 0], known, grid)
    pose = truth.camera_pose.to(patches.rays.dtype)
    relative = invert_pose(pose[:, target]) @ pose[:, source]
    points = patches.points[:, source] @ relative[..., :3, :3].mT + relative[..., None, :3, 3]
    distance = points.norm(dim=-1).clamp_min(1e-6)
    cosine, nearest = ((points / distance[..., None]) @ patches.rays[:, target].mT).max(-1)
    ranges = patches.log_range[:, target].gather(-1, nearest)
    agree = (distance.log() - ranges).abs() < SAME_LOG_RANGE
    inside = cosine >= _reach(truth, patches, grid)[:, target].gather(-1, nearest)
    thing = pooled(truth.non_ambiguous_mask.to(known.dtype), grid)
    solid, measured = thing > SOLID, patches.share > MEASURED * thing
    here, there = (solid[:, source], measured[:, source]), _at(solid, measured, target, nearest)
    same = inside & here[0] & here[1] & there[0] & there[1] & agree
    unknown = here[0] & (~here[1] | (inside & there[0] & ~there[1]))
    both = (truth.present[:, source] & truth.present[:, target])[..., None].to(distance.dtype)
    taught = torch.where(same, 1.0, torch.where(unknown, 0.0, UNMATCHED_WEIGHT))
    return MatchTargets(
        source=source,
        target=target,
        label=torch.where(same, nearest, nearest.shape[-1]),
        weight=both * taught.to(distance.dtype),
    )


def match_sums(matches: Matches, targets: MatchTargets) -> dict[str, Tensor]:
    """Return the sum of `match`, weighted cross entropies, and of the reading `match_right`.

    `match_right` counts patches that are seen by the other view and find their very place in it.
    """
    logits = matches.logits(targets.source, targets.target).flatten(0, 2)
    label = targets.label.flatten()
    each = F.cross_entropy(logits, label, reduction="none")
    right = (logits.detach().argmax(-1) == label) & _seen(targets).flatten()
    return {
        "match": (each * targets.weight.flatten()).sum(),
        "match_right": right.sum().to(each.dtype),
    }


def match_counts(targets: MatchTargets) -> dict[str, Tensor]:
    """Return what `match_sums` counts."""
    weight = targets.weight
    return {"match": weight.sum(), "match_right": _seen(targets).sum().to(weight.dtype)}


def _seen(targets: MatchTargets) -> Tensor:
    """Return [B, M, P] bool: the target shows the patch, and both views are there."""
    return (targets.label < targets.label.shape[-1]) & (targets.weight > 0)


def _at(solid: Tensor, measured: Tensor, target: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
    """Return both flags [B, N, P] of the patches [B, M, P] of the target views."""
    return solid[:, target].gather(-1, nearest), measured[:, target].gather(-1, nearest)


def _pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return all ordered pairs of different views."""
    views = torch.arange(count, device=device)
    source, target = views.repeat_interleave(count), views.repeat(count)
    different = source != target
    return source[different], target[different]


def _reach(truth: Truth, patches: Patches, grid: tuple[int, int]) -> Tensor:
    """Return [B, N, P]: the cosine between a patch's mean ray and its farthest pixel's."""
    batch, count, height, width = truth.valid_mask.shape
    rays = truth.ray_directions_cam.expand(batch, count, height, width, 3)
    rows, columns = grid
    parts = rays.reshape(batch, count, rows, height // rows, columns, width // columns, 3)
    mean = patches.rays.reshape(batch, count, rows, 1, columns, 1, 3)
    return (parts * mean).sum(-1).amin((3, 5)).flatten(2)
