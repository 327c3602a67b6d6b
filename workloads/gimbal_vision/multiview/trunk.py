"""The trunk: blocks that look across all views, and blocks that look within one, in turn.

Even blocks attend over every token of all present views and the scale token; odd ones over the
tokens of one view, without the scale token (multicar.md A5). There is no other exchange between
views, and only view 0 is marked, so the order of the others cannot matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.attention import INITIAL_STD, Block, initialise_linear
from gimbal_vision.multiview.checkpointing import run
from gimbal_vision.multiview.positions import reference_vector
from gimbal_vision.multiview.shape import ModelShape


@dataclass(frozen=True, eq=False, kw_only=True)
class TrunkOutput:
    """Tokens after the final LayerNorm, which the taps go through as well.

    Attributes:
        tokens: [B, N, P, D].
        scale: [B, D], the scale token.
        taps: Two tensors like `tokens`, from inside.
    """

    tokens: Tensor
    scale: Tensor
    taps: tuple[Tensor, Tensor]


class Trunk(nn.Module):
    """Alternating attention."""

    reference: Tensor

    def __init__(self, shape: ModelShape, *, again: bool = False) -> None:
        super().__init__()
        self.again, self.at = again, shape.taps
        self.scale_token = nn.Parameter(torch.empty(shape.encoder_dim))
        self.project: nn.Module = (
            nn.Identity()
            if shape.encoder_dim == shape.dim
            else nn.Linear(shape.encoder_dim, shape.dim)
        )
        self.register_buffer("reference", reference_vector(shape.dim), persistent=False)
        self.blocks = nn.ModuleList(
            Block(
                shape.dim,
                shape.heads,
                mlp_ratio=shape.mlp_ratio,
                swiglu=shape.swiglu,
                layer_scale=shape.layer_scale,
            )
            for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(shape.dim, eps=1e-6)
        initialise_linear(self)
        nn.init.trunc_normal_(self.scale_token, std=INITIAL_STD)

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> TrunkOutput:
        """Return the features.

        Args:
            tokens: [B, N, P, D_enc] of the encoder, with the geometric inputs added.
            present: [B, N] bool; None: all views are there.
        """
        x = self.project(tokens)
        batch, count, patches, _ = x.shape
        first = (torch.arange(count, device=x.device) == 0)[:, None, None]
        x = x + first * self.reference.to(x.dtype)
        scale = self.project(self.scale_token).to(x.dtype).expand(batch, 1, -1)
        keys = None if present is None else _keys(present, patches)
        taps: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            if index % 2 == 0:
                joined = torch.cat([x.flatten(1, 2), scale], dim=1)
                joined = run(block, joined, keys, again=self.again)
                x, scale = joined[:, :-1].reshape(x.shape), joined[:, -1:]
            else:
                x = run(block, x.flatten(0, 1), again=self.again).reshape(x.shape)
            if index in self.at:
                taps[index] = self.norm(x)
        return TrunkOutput(
            tokens=self.norm(x),
            scale=self.norm(scale)[:, 0],
            taps=(taps[self.at[0]], taps[self.at[1]]),
        )


def _keys(present: Tensor, patches: int) -> Tensor:
    """Return [B, 1, 1, N * P + 1] bool: tokens of present views, and the scale token."""
    views = present.repeat_interleave(patches, dim=1)
    return torch.cat([views, views.new_ones(len(views), 1)], dim=1)[:, None, None]
