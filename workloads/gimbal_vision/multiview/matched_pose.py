"""The pose head `matching`: every view is aligned with view 0 by matched patches.

Where two views share nothing there is nothing to match, so a regressed pose stands in: the more
patches agree on the alignment, the less it counts. View 0's pose is the identity by construction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.multiview.matching import Matches, MatchHead
from gimbal_vision.multiview.patches import Patches
from gimbal_vision.multiview.pose_head import AttentionPool
from gimbal_vision.multiview.registration import Pairs, align
from gimbal_vision.multiview.shape import ModelShape

MOST_PAIRS = 256
"""Pairs of patches that vote, the most probable ones."""
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
        self.doubt = nn.Parameter(torch.zeros(()))

    def forward(
        self, tokens: Tensor, patches: Patches, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Matches]:
        """Return translations [B, N, 3] and unit quaternions [B, N, 4], camera to view 0.

        Args:
            tokens: [B, N, P, D].
            patches: As predicted, in the model's own unit of length.
            grid: Rows and columns of patches.
        """
        matches: Matches = self.match(tokens, grid)
        batch, count = tokens.shape[:2]
        guess = self.place(self.regress(self.pool(tokens)))[:, 1:]
        found = align(probable_pairs(matches, patches))
        trust = found.support / (found.support + self.doubt.exp())
        trust = trust.reshape(batch, count - 1, 1)
        heading = torch.stack([found.cosine, found.sine], dim=-1).reshape(batch, count - 1, 2)
        guessed = F.normalize(guess[..., 3:], dim=-1, eps=_SMALLEST)
        quaternion = _about_vertical(torch.lerp(guessed, heading, trust))
        moved = found.translation.reshape(batch, count - 1, 3)
        translation = torch.lerp(guess[..., :3], moved, trust)
        return (
            torch.cat([translation.new_zeros(batch, 1, 3), translation], 1),
            torch.cat([quaternion.new_tensor([0, 0, 0, 1.0]).expand(batch, 1, 4), quaternion], 1),
            matches,
        )


def probable_pairs(matches: Matches, patches: Patches) -> Pairs:
    """Return the most probable pairs of each view with view 0, B (N - 1) in a row."""
    count = matches.descriptors.shape[1]
    device = matches.descriptors.device
    others = torch.arange(1, count, device=device)
    probability = matches.probability(others, torch.zeros_like(others)).flatten(0, 1)
    there = patches.share[:, 1:].flatten(0, 1)
    here = patches.share[:, :1].expand(-1, count - 1, -1).flatten(0, 1)
    weight = (probability * there[:, :, None] * here[:, None]).flatten(1)
    size = there.shape[-1]
    best = weight.topk(min(MOST_PAIRS, size * size), dim=-1)
    points = patches.points
    first = points[:, :1].expand(-1, count - 1, -1, -1).flatten(0, 1)
    return Pairs(
        there=_taken(points[:, 1:].flatten(0, 1), best.indices // size),
        here=_taken(first, best.indices % size),
        weight=best.values,
    )


def _taken(points: Tensor, which: Tensor) -> Tensor:
    """Return points [M, K, 3] of [M, P, 3]."""
    return points.gather(1, which[..., None].expand(-1, -1, 3))


def _about_vertical(heading: Tensor) -> Tensor:
    """Return unit quaternions [..., 4] of turns about y given as cosine and sine [..., 2]."""
    cosine, sine = F.normalize(heading, dim=-1, eps=_SMALLEST).unbind(-1)
    half = torch.atan2(sine, cosine) / 2
    nothing = torch.zeros_like(half)
    return torch.stack([nothing, half.sin(), nothing, half.cos()], dim=-1)
