"""Pre-norm transformer blocks: attention, MLP, optional gates and LayerScale; no dropout.

Absent views are masked as keys, never skipped: shapes stay the same, and what an absent view holds
cannot reach a present one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_STD = 0.02
"""Deviation of the truncated normal that tokens and weights of linear maps start from, as in
ViT, whose width is 768."""
_USUAL_WIDTH = 768


class Attention(nn.Module):
    """Multi-head self-attention over [B, L, D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return what each token gathers.

        Args:
            tokens: [B, L, D].
            keys: [B, 1, 1, L] bool, which tokens may be looked at; each row has at least one. None:
                all may.
        """
        batch, length, dim = tokens.shape
        qkv = self.qkv(tokens).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        result: Tensor = self.out(gathered.transpose(1, 2).reshape(batch, length, dim))
        return result


class Mlp(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        self.up = nn.Linear(dim, int(dim * ratio))
        self.down = nn.Linear(int(dim * ratio), dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., D] to [..., D]."""
        result: Tensor = self.down(F.gelu(self.up(tokens)))
        return result


class SwiGlu(nn.Module):
    """Gated MLP of as many numbers as `Mlp`: two thirds of the width, rounded up to eights."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = (int(dim * ratio * 2 / 3) + 7) // 8 * 8
        self.up = nn.Linear(dim, 2 * hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [..., D] to [..., D]."""
        gate, value = self.up(tokens).chunk(2, dim=-1)
        result: Tensor = self.down(F.silu(gate) * value)
        return result


class Block(nn.Module):
    """x + a * attention(norm(x)), then x + b * MLP(norm(x)); a and b are LayerScale, or 1.

    Args:
        dim: Numbers of a token.
        heads: Attention heads; they divide `dim`.
        mlp_ratio: Hidden width of the MLP over `dim`.
        swiglu: Gated MLP.
        layer_scale: What LayerScale starts from; none: no LayerScale.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        swiglu: bool = False,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp: nn.Module = SwiGlu(dim, mlp_ratio) if swiglu else Mlp(dim, mlp_ratio)
        self.attention_scale = _scale(dim, layer_scale)
        self.mlp_scale = _scale(dim, layer_scale)

    def forward(self, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """Map [B, L, D] to [B, L, D]; `keys` as in `Attention`."""
        gathered = self.attention(self.attention_norm(tokens), keys)
        tokens = tokens + _scaled(gathered, self.attention_scale)
        return tokens + _scaled(self.mlp(self.mlp_norm(tokens)), self.mlp_scale)


def initialise_linear(module: nn.Module) -> None:
    """Start every linear map in `module` with truncated normal weights and no bias.

    At ViT's width their deviation is ViT's; narrower maps start wider, or each would all but
    silence what it reads, and hundreds of steps went into making it heard.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            std = INITIAL_STD * (_USUAL_WIDTH / part.in_features) ** 0.5
            nn.init.trunc_normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _scale(dim: int, start: float | None) -> nn.Parameter | None:
    return None if start is None else nn.Parameter(torch.full((dim,), start))


def _scaled(tokens: Tensor, scale: Tensor | None) -> Tensor:
    return tokens if scale is None else tokens * scale
