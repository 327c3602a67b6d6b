"""Tokens of a set of views, made aware of each other.

Views are a set: beyond the first, which the frame is tied to, their order means nothing. So a token
says which view it is of by that view's direction and a flag on the first, never by a number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.base import Standardise, mlp
from gimbal_nbv.attention.geometry import TOKEN_NUMBERS, pair_invariants, token_invariants
from gimbal_nbv.attention.harmonics import HARMONICS, harmonics
from gimbal_nbv.attention.inputs import PolicyInputs
from gimbal_nbv.attention.pooling import TokenPool
from gimbal_nbv.attention.shape import AttentionShape


class SceneEncoder(nn.Module):
    """Pools and encodes tokens.

    Args:
        shape: Sizes and switches.
        mean: Mean of each number of a token over the training set [D]; 0 if None.
        std: Its standard deviation [D]; 1 if None.
    """

    def __init__(
        self, shape: AttentionShape, mean: Tensor | None = None, std: Tensor | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.pool = TokenPool(shape)
        self.standardise = Standardise(shape.token_dim, mean, std)
        numbers = shape.token_dim + (TOKEN_NUMBERS if shape.has_points else 0)
        self.project = mlp(numbers, width, width)
        self.reference = nn.Parameter(0.02 * torch.randn(width))
        if shape.coordinates:
            self.direction = mlp(HARMONICS, width, width)
            places = 1 if shape.pooling == "hits" else shape.kept
            self.place = nn.Parameter(0.02 * torch.randn(places, width))
        layer = nn.TransformerEncoderLayer(
            width, shape.heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, shape.layers, nn.LayerNorm(width), enable_nested_tensor=False
        )

    def forward(self, inputs: PolicyInputs) -> Scene:
        """Return the encoded tokens of a batch of states."""
        pooled = self.pool(inputs.tokens)
        scene = Scene(pooled, inputs)
        numbers = self.standardise(pooled)
        if not self.shape.coordinates:
            numbers = numbers.index_fill(-1, _index(self.shape.framed, numbers), 0.0)
        if self.shape.has_points:
            steady = scene.invariants()
            steady = steady.reshape(*pooled.shape[:3], steady.shape[-1])
            numbers = torch.cat([numbers, steady], dim=-1)
        encoded = self.project(numbers)
        first = torch.zeros(pooled.shape[1], dtype=encoded.dtype, device=encoded.device)
        first[0] = 1.0
        encoded = encoded + first[:, None, None] * self.reference
        if self.shape.coordinates:
            seen_from = self.direction(harmonics(inputs.view_directions))
            encoded = encoded + seen_from.unsqueeze(2) + self.place
        scene.encoded = self.layers(encoded.flatten(1, 2), src_key_padding_mask=scene.absent)
        return scene


class Scene:
    """Encoded tokens of a batch of states, and where they lie.

    Attributes:
        encoded: [B,T,W], T = N P'.
        absent: bool [B,T], tokens of padding.
    """

    encoded: Tensor

    def __init__(self, pooled: Tensor, inputs: PolicyInputs) -> None:
        kept = pooled.shape[2]
        self._flat = pooled.flatten(1, 2)
        self._own = inputs.view_directions.repeat_interleave(kept, dim=1)
        self._inputs = inputs
        self.absent = (~inputs.present).repeat_interleave(kept, dim=1)

    def invariants(self) -> Tensor:
        """Return what no rotation changes of each token [B,T,8]."""
        first = self._inputs.view_directions[:, :1]
        return token_invariants(self._flat[..., :3], self._flat[..., 3:6], self._own, first)

    def pairs(self) -> Tensor:
        """Return what each candidate sees of each token [B,M,T,6]."""
        return pair_invariants(
            self._inputs.candidates, self._flat[..., :3], self._flat[..., 3:6], self._own
        )


def _index(places: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.tensor(places, dtype=torch.long, device=like.device)
