"""The pose head `matching`: views are aligned with view 0 by matched patches, or through others.

Where two views share nothing there is nothing to match, so a regressed pose stands in: the more
patches agree on the alignment, the less it counts. View 0's pose is the identity by construction.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.multiview.matching import Matches, MatchHead
from gimbal_vision.multiview.patches import Patches
from gimbal_vision.multiview.pose_graph import Placed, pair_numbers, place_views
from gimbal_vision.multiview.pose_head import AttentionPool
from gimbal_vision.multiview.registration import Alignment, Pairs, align
from gimbal_vision.multiview.shape import ModelShape

MOST_PAIRS = 256
"""Pairs of patches that vote, the most probable ones."""
START_DOUBT = 0.02
"""So many agreeing pairs weigh as much as the regression at the start: sums of products of
probabilities are small, and a regression that has learnt nothing is worse than a doubtful match."""
_SMALLEST = 1e-6


class MatchedPoseHead(nn.Module):
    """Matches, aligns, and falls back on a regression.

    Attributes:
        match: Describes patches.
        doubt: Logarithm of how many agreeing patches weigh as much as the regression.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        hidden = shape.pose_hidden or 4 * shape.patch**2
        self.match = MatchHead(shape.dim, shape.match_dim)
        self.pool = AttentionPool(shape.dim, shape.heads, hidden)
        self.regress = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.place = nn.Linear(hidden, 5)
        self.doubt = nn.Parameter(torch.tensor(math.log(START_DOUBT)))

    def forward(
        self,
        tokens: Tensor,
        patches: Patches,
        grid: tuple[int, int],
        present: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Matches]:
        """Return translations [B, N, 3] and unit quaternions [B, N, 4], camera to view 0.

        Args:
            tokens: [B, N, P, D].
            patches: As predicted, in the model's own unit of length.
            grid: Rows and columns of patches.
            present: [B, N] bool; None: all views are there.
        """
        matches: Matches = self.match(tokens, grid)
        guess = self.place(self.regress(self.pool(tokens)))
        placed = self._placed(matches, patches, present)
        trust = (placed.support / (placed.support + self.doubt.exp()))[..., None]
        trust = torch.cat([torch.ones_like(trust[:, :1]), trust[:, 1:]], dim=1)
        guessed = F.normalize(guess[..., 3:], dim=-1, eps=_SMALLEST)
        quaternion = _about_vertical(torch.lerp(guessed, placed.heading, trust))
        return torch.lerp(guess[..., :3], placed.translation, trust), quaternion, matches

    def _placed(self, matches: Matches, patches: Patches, present: Tensor | None) -> Placed:
        """Align with view 0 only in training; otherwise other views may lie on the way."""
        batch, count = matches.unmatched.shape[:2]
        first, second = pair_numbers(count, matches.unmatched.device)
        if self.training:
            first, second = first[: count - 1], second[: count - 1]
        found = align(probable_pairs(matches, patches, (first, second)))
        if not self.training:
            return place_views(_absent(found, present, (first, second)), batch, count)
        return Placed(
            heading=_led(torch.stack([found.cosine, found.sine], dim=-1), batch, [1.0, 0.0]),
            translation=_led(found.translation, batch, [0.0, 0.0, 0.0]),
            support=_led(found.support[:, None], batch, [1.0])[..., 0],
        )


def probable_pairs(matches: Matches, patches: Patches, views: tuple[Tensor, Tensor]) -> Pairs:
    """Return the most probable pairs of patches of pairs of views, B M in a row.

    Args:
        matches: Descriptors.
        patches: Where they look, and how far.
        views: int64 [M] first and [M] second view of each pair.
    """
    here, there = views
    probability = matches.probability(there, here).flatten(0, 1)
    shares = patches.share[:, there, :, None] * patches.share[:, here, None]
    weight = (probability * shares.flatten(0, 1)).flatten(1)
    size = patches.share.shape[-1]
    best = weight.topk(min(MOST_PAIRS, size * size), dim=-1)
    points = patches.points
    return Pairs(
        there=_taken(points[:, there].flatten(0, 1), best.indices // size),
        here=_taken(points[:, here].flatten(0, 1), best.indices % size),
        weight=best.values,
    )


def _absent(found: Alignment, present: Tensor | None, views: tuple[Tensor, Tensor]) -> Alignment:
    """Take all support from pairs with a view that is not there: no path may lead through it."""
    if present is None:
        return found
    both = (present[:, views[0]] & present[:, views[1]]).flatten()
    return replace(found, support=found.support * both)


def _led(values: Tensor, batch: int, first: list[float]) -> Tensor:
    """Return [B, N, C] of B (N - 1) rows [C], view 0's put before each sample's."""
    rest = values.reshape(batch, -1, values.shape[-1])
    return torch.cat([rest.new_tensor(first).expand(batch, 1, -1), rest], dim=1)


def _taken(points: Tensor, which: Tensor) -> Tensor:
    """Return points [M, K, 3] of [M, P, 3]."""
    return points.gather(1, which[..., None].expand(-1, -1, 3))


def _about_vertical(heading: Tensor) -> Tensor:
    """Return unit quaternions [..., 4] of turns about y given as cosine and sine [..., 2]."""
    cosine, sine = F.normalize(heading, dim=-1, eps=_SMALLEST).unbind(-1)
    half = torch.atan2(sine, cosine) / 2
    nothing = torch.zeros_like(half)
    return torch.stack([nothing, half.sin(), nothing, half.cos()], dim=-1)
