"""Poses of all views from alignments of pairs of views: the path that is best supported.

Two cars that share nothing may both share something with a third. Every view is placed along the
path from view 0 whose weakest alignment is strongest; each further alignment costs, since errors
add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_vision.multiview.registration import Alignment, turned

HOP = 0.7
"""What is left of a path's support when it is one alignment longer."""
_CERTAIN = 1e6
"""Support of a view's own pose."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """Upright poses of N views in view 0's frame.

    Attributes:
        heading: [B, N, 2] cosine and sine of the turn about y (down).
        translation: [B, N, 3].
        support: [B, N] of the weakest alignment on the way, less what hops cost.
    """

    heading: Tensor
    translation: Tensor
    support: Tensor


def pair_numbers(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return int64 [M] first and second of all M = N (N - 1) / 2 pairs of views, first < second."""
    first, second = torch.triu_indices(count, count, offset=1, device=device)
    return first, second


def place_views(alignments: Alignment, batch: int, count: int) -> Placed:
    """Place all views.

    Args:
        alignments: Of the pairs of `pair_numbers`, where the second stands in the first's axes;
            B M in a row, sample by sample.
        batch: B.
        count: N.
    """
    heading, translation, support = _edges(alignments, batch, count)
    placed = Placed(
        heading=heading[:, 0].clone(),
        translation=translation[:, 0].clone(),
        support=support[:, 0].clone(),
    )
    for _ in range(count - 2):
        placed = _extended(placed, heading, translation, support)
    return placed


def _edges(found: Alignment, batch: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return [B, N, N, ...]: how j stands in i's axes; i stands in itself for certain."""
    first, second = pair_numbers(count, found.support.device)
    ahead = torch.stack([found.cosine, found.sine], dim=-1).reshape(batch, len(first), 2)
    there = found.translation.reshape(batch, len(first), 3)
    back = -turned(found.translation[:, None], found.cosine, -found.sine)[:, 0]
    heading = ahead.new_tensor([1.0, 0.0]).repeat(batch, count, count, 1)
    translation = there.new_zeros(batch, count, count, 3)
    support = found.support.new_full((batch, count, count), _CERTAIN)
    heading[:, first, second], heading[:, second, first] = ahead, ahead * ahead.new_tensor([1, -1])
    translation[:, first, second] = there
    translation[:, second, first] = back.reshape(there.shape)
    support[:, first, second] = found.support.reshape(batch, len(first))
    support[:, second, first] = support[:, first, second]
    return heading, translation, support


def _extended(placed: Placed, heading: Tensor, translation: Tensor, support: Tensor) -> Placed:
    """Return the poses with paths that may be one alignment longer."""
    through = HOP * torch.minimum(placed.support[:, :, None], support)
    best, via = through.max(dim=1)
    better = best > placed.support
    c, s = placed.heading.gather(1, via[..., None].expand(-1, -1, 2)).unbind(-1)
    start = placed.translation.gather(1, via[..., None].expand(-1, -1, 3))
    sample = torch.arange(len(via), device=via.device)[:, None]
    view = torch.arange(via.shape[1], device=via.device)
    step, turn = translation[sample, via, view], heading[sample, via, view]
    x, y, z = step.unbind(-1)
    moved = start + torch.stack([c * x + s * z, y, c * z - s * x], dim=-1)
    ahead = torch.stack(
        [c * turn[..., 0] - s * turn[..., 1], s * turn[..., 0] + c * turn[..., 1]], dim=-1
    )
    return Placed(
        heading=torch.where(better[..., None], ahead, placed.heading),
        translation=torch.where(better[..., None], moved, placed.translation),
        support=torch.where(better, best, placed.support),
    )
