"""Where one upright camera stands beside another, from points that probably correspond.

Correspondences between coarse patches are ambiguous, so no least-squares fit of all of them can be
trusted, and a random sample of them would make the answer random. Instead every pair votes, for
each of many headings, for the translation it implies (a Hough transform over x, z and yaw); the
best cell is refined by reweighted alignment (Procrustes in the plane, in closed form). The vote is
a choice and carries no gradient; the last alignment does, to the points and to their weights.

Cameras are upright: they differ by a turn about the vertical (y, down) and a translation. Cars are,
up to the slope of the road; objects on a turntable are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

HEADINGS = 48
"""Headings that are tried: 7.5 degrees apart."""
CELLS = 40
"""Cells along x and z; the translation tried at most is half of them, `CELL` units each."""
CELL = 0.25
"""Side of a cell, in units of the points' mean distance."""
ROUNDS = 8
"""Reweighted alignments."""
AT_ONCE = 128
"""Pairs of cameras whose votes are held in memory together, .3 MB each."""
VOTE = 2.0**40
"""A vote of weight 1 as an integer: integers add up alike in any order, on a GPU too."""
NEAR = 0.06
FAR_SHARE = 0.1
"""A residual of NEAR units and FAR_SHARE of the points' distances leaves a quarter of a pair's
weight: points far away are placed less well."""
_TINY = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """Points of two cameras that probably are the same, M pairs of cameras with K points each.

    Attributes:
        there: [M, K, 3] in the second camera's axes.
        here: [M, K, 3] the same in the first camera's.
        weight: [M, K] at least 0.
    """

    there: Tensor
    here: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment:
    """Where second cameras stand in first cameras' axes.

    Attributes:
        cosine: [M] of the heading, a turn about y (down).
        sine: [M].
        translation: [M, 3].
        support: [M] weight of the pairs that agree.
    """

    cosine: Tensor
    sine: Tensor
    translation: Tensor
    support: Tensor


def align(pairs: Pairs) -> Alignment:
    """Return the most agreed alignment; differentiable in points and weights."""
    with torch.no_grad():
        unit = _unit(pairs)
        start = _voted(pairs, unit)
        for _ in range(ROUNDS):
            start = _fitted(pairs, pairs.weight * _agreement(pairs, start, unit))
        agreement = _agreement(pairs, start, unit)
    return _fitted(pairs, pairs.weight * agreement)


def turned(points: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn points [M, K, 3] about y (down) by angles [M] given as cosine and sine."""
    c, s = cosine[:, None], sine[:, None]
    x, y, z = points.unbind(-1)
    return torch.stack([c * x + s * z, y, c * z - s * x], dim=-1)


def _unit(pairs: Pairs) -> Tensor:
    """Return [M] the points' mean horizontal distance, the length everything is measured in."""
    distance = _horizontal(pairs.there) + _horizontal(pairs.here)
    mean = (distance * pairs.weight).sum(-1) / (2 * pairs.weight.sum(-1)).clamp_min(_TINY)
    return mean.clamp_min(_TINY)


def _horizontal(points: Tensor) -> Tensor:
    return torch.hypot(points[..., 0], points[..., 2])


def _voted(pairs: Pairs, unit: Tensor) -> Alignment:
    """Return the alignment of the fullest cell of the votes, some pairs of cameras at a time."""
    fields = (torch.split(each, AT_ONCE) for each in (pairs.there, pairs.here, pairs.weight, unit))
    parts = [
        _voted_at_once(Pairs(there=there, here=here, weight=weight), length)
        for there, here, weight, length in zip(*fields, strict=True)
    ]
    return Alignment(
        cosine=torch.cat([part.cosine for part in parts]),
        sine=torch.cat([part.sine for part in parts]),
        translation=torch.cat([part.translation for part in parts]),
        support=torch.cat([part.support for part in parts]),
    )


def _voted_at_once(pairs: Pairs, unit: Tensor) -> Alignment:
    angles = torch.arange(HEADINGS, device=unit.device, dtype=unit.dtype) * (2 * math.pi / HEADINGS)
    cosine, sine = angles.cos()[:, None], angles.sin()[:, None]
    there, here = pairs.there[:, None], pairs.here[:, None]
    size = (CELL * unit)[:, None, None]
    right = (here[..., 0] - cosine * there[..., 0] - sine * there[..., 2]) / size + CELLS / 2
    ahead = (here[..., 2] - cosine * there[..., 2] + sine * there[..., 0]) / size + CELLS / 2
    votes = _histogram(right, ahead, pairs.weight)
    best = _smoothed(votes).flatten(1).argmax(-1)
    heading, cell = best // CELLS**2, best % CELLS**2
    place = torch.stack([cell // CELLS, torch.full_like(cell, CELLS // 2), cell % CELLS], dim=-1)
    return Alignment(
        cosine=angles.cos()[heading],
        sine=angles.sin()[heading],
        translation=(place - CELLS / 2) * (CELL * unit)[:, None],
        support=votes.flatten(1).amax(-1),
    )


def _histogram(right: Tensor, ahead: Tensor, weight: Tensor) -> Tensor:
    """Return [M, HEADINGS, CELLS, CELLS]: votes [M, HEADINGS, K] shared among four cells each.

    What is not finite has no vote.
    """
    inside = (right >= 0) & (right < CELLS - 1) & (ahead >= 0) & (ahead < CELLS - 1)
    right, ahead = right.where(inside, 0.0), ahead.where(inside, 0.0)
    low_right, low_ahead = right.floor(), ahead.floor()
    share_right, share_ahead = right - low_right, ahead - low_ahead
    column = low_right.long() * CELLS + low_ahead.long()
    counted = weight.nan_to_num(0.0, 0.0, 0.0)[:, None] * inside
    votes = torch.zeros(*right.shape[:2], CELLS**2, dtype=torch.int64, device=right.device)
    for step_right in (0, 1):
        for step_ahead in (0, 1):
            part = share_right if step_right else 1 - share_right
            other = share_ahead if step_ahead else 1 - share_ahead
            vote = (counted * part * other * VOTE).long()
            votes.scatter_add_(-1, column + step_right * CELLS + step_ahead, vote)
    return (votes.reshape(*right.shape[:2], CELLS, CELLS) / VOTE).to(right.dtype)


def _smoothed(votes: Tensor) -> Tensor:
    """Add the votes of neighbouring cells, and half of those of neighbouring headings."""
    flat = F.avg_pool2d(votes, 3, stride=1, padding=1)
    return flat + 0.5 * (flat.roll(1, dims=1) + flat.roll(-1, dims=1))


def _agreement(pairs: Pairs, alignment: Alignment, unit: Tensor) -> Tensor:
    """Return [M, K] in 0..1: how well each pair fits, see `NEAR` and `FAR_SHARE`."""
    moved = turned(pairs.there, alignment.cosine, alignment.sine) + alignment.translation[:, None]
    residual = _horizontal(moved - pairs.here)
    distance = _horizontal(pairs.there) + _horizontal(pairs.here)
    scale = NEAR * unit[:, None] + FAR_SHARE * distance
    return (1 + (residual / scale).square()).square().reciprocal()


def _fitted(pairs: Pairs, weight: Tensor) -> Alignment:
    """Return the weighted least-squares alignment in the plane; heights by their mean."""
    with torch.no_grad():
        distance = _horizontal(pairs.there) + _horizontal(pairs.here)
    precise = weight / distance.square().clamp_min(_TINY)
    share = (precise / precise.sum(-1, keepdim=True).clamp_min(_TINY))[..., None]
    there, here = (share * pairs.there).sum(1), (share * pairs.here).sum(1)
    a, b = pairs.there - there[:, None], pairs.here - here[:, None]
    along = (share[..., 0] * (a[..., 0] * b[..., 0] + a[..., 2] * b[..., 2])).sum(-1)
    across = (share[..., 0] * (a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2])).sum(-1)
    length = torch.sqrt(along.square() + across.square() + _TINY**2)
    cosine, sine = along / length, across / length
    translation = here - turned(there[:, None], cosine, sine)[:, 0]
    return Alignment(cosine=cosine, sine=sine, translation=translation, support=weight.sum(-1))
