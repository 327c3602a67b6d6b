"""From a view's tokens to its pose: translation and unit quaternion, camera to view 0.

View 0's pose is predicted like any other and is not set to the identity: as in the published
model, the loss is what teaches it. The quaternion's bias starts as the identity, so a fresh model
says "not turned" instead of a random direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gimbal_vision.multiview.shape import ModelShape

_SMALLEST_NORM = 1e-6
"""Below this length a quaternion is not blown up any further; it stands for no rotation."""


class PoseHead(nn.Module):
    """Pools a view's tokens, then regresses.

    `pooled` maps each token through two residual stacks and takes the mean, as published;
    `attention` lets a learned query weigh the tokens instead.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        hidden = shape.pose_hidden or 4 * shape.patch**2
        self.pool: nn.Module = (
            AttentionPool(shape.dim, shape.heads, hidden)
            if shape.pose_head == "attention"
            else _MeanPool(shape.dim, hidden)
        )
        self.regress = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.translation = nn.Linear(hidden, 3)
        self.quaternion = nn.Linear(hidden, 4)
        with torch.no_grad():
            self.quaternion.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return [..., 3] translations, without scale, and [..., 4] quaternions of [..., P, D]."""
        pooled = self.regress(self.pool(tokens))
        quaternion = F.normalize(self.quaternion(pooled), dim=-1, eps=_SMALLEST_NORM)
        return self.translation(pooled), quaternion


class _MeanPool(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, hidden)
        self.stacks = nn.ModuleList(_stack(hidden) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.widen(tokens)
        for stack in self.stacks:
            x = F.relu(x + stack(x))
        result: Tensor = x.mean(dim=-2)
        return result


class AttentionPool(nn.Module):
    """Lets a learned query of each head weigh the tokens of a view."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, 1, dim // heads))
        self.key_value = nn.Linear(dim, 2 * dim)
        self.widen = nn.Linear(dim, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [..., hidden] of [..., P, D]."""
        *leading, patches, dim = tokens.shape
        flat = self.key_value(tokens).view(-1, patches, 2, self.heads, dim // self.heads)
        key, value = flat.permute(2, 0, 3, 1, 4).unbind(0)
        query = self.query.expand(len(key), -1, -1, -1)
        gathered = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.widen(gathered.reshape(*leading, dim))
        return result


def _stack(width: int) -> nn.Module:
    """Return three maps of each token by itself, what 1 x 1 convolutions are."""
    return nn.Sequential(
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, width),
    )  # fmt: skip
