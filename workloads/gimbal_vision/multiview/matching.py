"""Which patch of one view shows what a patch of another view shows.

A regressed pose has to be learnt as a whole from few examples of whole scenes; correspondences are
learnt from every patch of every pair of views, and the pose follows from them by geometry
(`registration`). On made streets a regression needed twelve times the samples to come as near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

START_TEMPERATURE = 10.0
"""Logits of unit descriptors are their product times this, at the start."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """Descriptors of all patches, from which any pair of views can be matched.

    Attributes:
        descriptors: [B, N, P, C] unit.
        unmatched: [B, N, P] logit of "the other view does not show this".
        temperature: Scalar, multiplies products of descriptors.
        grid: Rows and columns of patches.
    """

    descriptors: Tensor
    unmatched: Tensor
    temperature: Tensor
    grid: tuple[int, int]

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        """Return [B, M, P, P + 1]: where M source views' patches are in M target views.

        The last column says that the target does not show it.

        Args:
            source: int64 [M] numbers of views.
            target: int64 [M].
        """
        a, b = self.descriptors[:, source], self.descriptors[:, target]
        products = self.temperature * (a @ b.mT)
        return torch.cat([products, self.unmatched[:, source, :, None]], dim=-1)

    def probability(self, source: Tensor, target: Tensor) -> Tensor:
        """Return [B, M, P, P]: that two patches show the same, as both sides see it."""
        there = self.logits(source, target).softmax(-1)[..., :-1]
        back = self.logits(target, source).softmax(-1)[..., :-1]
        return there * back.mT


class MatchHead(nn.Module):
    """Describes patches.

    Args:
        dim: Numbers of a token.
        size: Numbers C of a descriptor.
    """

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.describe = nn.Linear(dim, size)
        self.alone = nn.Linear(dim, 1)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(START_TEMPERATURE)))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Matches:
        """Return the descriptors of tokens [B, N, P, D]."""
        return Matches(
            descriptors=F.normalize(self.describe(tokens), dim=-1, eps=1e-6),
            unmatched=self.alone(tokens)[..., 0],
            temperature=self.log_temperature.exp(),
            grid=grid,
        )
