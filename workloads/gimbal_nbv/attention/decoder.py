"""Candidates that look at the tokens of the views taken.

Each candidate is a query of its own and all share one set of weights, so any number of them in any
order gets the same scores. With relative geometry a query's attention is also moved by where each
surface patch lies along its axis, and it reads those numbers themselves: a network that must first
learn to rotate coordinates into a candidate's camera spends its capacity on that.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.base import mlp
from gimbal_nbv.attention.geometry import PAIR_NUMBERS

PAIR_WIDTH = 16
"""Hidden numbers of a candidate-token pair; the cost of a step grows with it."""


class CrossAttention(nn.Module):
    """Multi-head attention of candidates to tokens, with or without relative geometry.

    Args:
        width: Width W.
        heads: Attention heads.
        relative: Whether pair numbers move the attention and are read.
    """

    def __init__(self, width: int, heads: int, relative: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.relative = relative
        if relative:
            self.pair = nn.Linear(PAIR_NUMBERS, PAIR_WIDTH)
            self.pair_token = nn.Linear(width, PAIR_WIDTH, bias=False)
            self.pair_query = nn.Linear(width, PAIR_WIDTH, bias=False)
            self.bias = nn.Linear(PAIR_WIDTH, heads, bias=False)
        self.out = nn.Linear(width + (heads * PAIR_WIDTH if relative else 0), width)

    def forward(
        self, queries: Tensor, tokens: Tensor, absent: Tensor, pairs: Tensor | None
    ) -> Tensor:
        """Return what the queries read [B,M,W].

        Args:
            queries: [B,M,W].
            tokens: [B,T,W].
            absent: bool [B,T], tokens of padding.
            pairs: Pair numbers [B,M,T,6], with relative geometry.
        """
        query = self._split(self.query(queries))
        key = self._split(self.key(tokens))
        logits = query @ key.transpose(-1, -2) / sqrt(key.shape[-1])
        hidden = None
        if self.relative and pairs is not None:
            hidden = self.pair(pairs) + self.pair_token(tokens).unsqueeze(1)
            hidden = torch.relu(hidden + self.pair_query(queries).unsqueeze(2))
            logits = logits + self.bias(hidden).permute(0, 3, 1, 2)
        weights = torch.softmax(logits.masked_fill(absent[:, None, None], -torch.inf), dim=-1)
        read = (weights @ self._split(self.value(tokens))).transpose(1, 2).flatten(2)
        if hidden is not None:
            read = torch.cat([read, (weights.transpose(1, 2) @ hidden).flatten(2)], dim=-1)
        out: Tensor = self.out(read)
        return out

    def _split(self, values: Tensor) -> Tensor:
        """Return [B,heads,L,W/heads] of [B,L,W]."""
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Cross-attention and a feed-forward step, both behind a norm and beside a short cut."""

    def __init__(self, width: int, heads: int, relative: bool) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.attention = CrossAttention(width, heads, relative)
        self.before_step = nn.LayerNorm(width)
        self.step = mlp(width, 2 * width, width)

    def forward(
        self, queries: Tensor, tokens: Tensor, absent: Tensor, pairs: Tensor | None
    ) -> Tensor:
        """Return the queries [B,M,W] after one layer; see `CrossAttention.forward`."""
        queries = queries + self.attention(self.before_attention(queries), tokens, absent, pairs)
        out: Tensor = queries + self.step(self.before_step(queries))
        return out
