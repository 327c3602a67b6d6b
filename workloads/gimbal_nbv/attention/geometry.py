"""What does not change when the world turns: numbers of tokens, candidates and pairs of both.

A candidate camera looks at the origin from direction c. Written along its axis, a surface point has
a depth and a distance from the axis; written in azimuth it would depend on how the camera is
rolled, which no policy chooses. Mirror images get the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIR_NUMBERS = 6
TOKEN_NUMBERS = 8
ANGLE_NUMBERS = 7
_SMALL = 0.02
"""Softens square roots, in units of the object's diagonal, so that gradients stay finite."""


def token_invariants(points: Tensor, normals: Tensor, own: Tensor, first: Tensor) -> Tensor:
    """Return numbers [B,T,8] of each token.

    They are the point's distance from the origin, its depth along its own view and along the first,
    the normal's length (less than 1 where a patch bends), the normal along both views and along the
    point, and the cosine between both views.

    Args:
        points: Mean points [B,T,3].
        normals: Mean normals [B,T,3]; zero where nothing was hit.
        own: Direction to the camera that saw the token [B,T,3].
        first: Direction to the first camera [B,1,3].
    """
    return torch.stack(
        [
            _length(points),
            (points * own).sum(-1),
            (points * first).sum(-1),
            _length(normals),
            (normals * own).sum(-1),
            (normals * first).sum(-1),
            (normals * points).sum(-1),
            (own * first).sum(-1),
        ],
        dim=-1,
    )


def pair_invariants(candidates: Tensor, points: Tensor, normals: Tensor, own: Tensor) -> Tensor:
    """Return what each candidate sees of each token [B,M,T,6].

    They are the point's depth along the candidate's axis c·x, its distance from that axis
    |x - (c·x)c|, the normal along the axis c·n, the normal away from the axis, the cosine between
    the candidate and the view that saw the token, and that cosine squared.

    Args:
        candidates: Unit vectors [B,M,3].
        points: [B,T,3].
        normals: [B,T,3].
        own: [B,T,3].
    """
    depth = candidates @ points.transpose(1, 2)
    facing = candidates @ normals.transpose(1, 2)
    cosine = candidates @ own.transpose(1, 2)
    squared = points.square().sum(-1).unsqueeze(1) - depth.square()
    lateral = (squared.clamp_min(0) + _SMALL**2).sqrt()
    along = (normals * points).sum(-1).unsqueeze(1) - depth * facing
    return torch.stack([depth, lateral, facing, along / lateral, cosine, cosine.square()], dim=-1)


def angle_invariants(candidates: Tensor, views: Tensor, present: Tensor) -> Tensor:
    """Return how each candidate lies to the views taken [B,M,7].

    They are the cosine to the nearest and to the first view, the mean cosine and mean squared
    cosine, the nearest's square, the least cosine, and the number of views over six. The order of
    views 2 to N does not matter.

    Args:
        candidates: Unit vectors [B,M,3].
        views: Unit vectors [B,N,3].
        present: bool [B,N].
    """
    cosine = candidates @ views.transpose(1, 2)
    there = present.unsqueeze(1).to(cosine.dtype)
    count = there.sum(-1)
    nearest = cosine.masked_fill(~present.unsqueeze(1), -2.0).amax(-1)
    farthest = cosine.masked_fill(~present.unsqueeze(1), 2.0).amin(-1)
    return torch.stack(
        [
            nearest,
            cosine[..., 0],
            (cosine * there).sum(-1) / count,
            (cosine.square() * there).sum(-1) / count,
            nearest.square(),
            farthest,
            (count / 6).expand_as(nearest),
        ],
        dim=-1,
    )


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + _SMALL**2).sqrt()
