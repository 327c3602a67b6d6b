"""The completion network: which unseen voxels hold surface, and where inside them it lies.

Its convolutions start on blocks of 2^3 voxels: a block's eight codes are its channels. That costs
an eighth of a full-resolution network, and the last layer sees every single code again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.voxels import FREE, SURFACE

_CODES = 3
_BLOCK = 2
_TRUST = 4.0
"""Logit by which a measured voxel starts above, and a free one below, an unknown one."""


class CompletionNet(nn.Module):
    """A small 3-D U-net; some 94 000 parameters at width 16.

    Args:
        width: Channels of the finest level; coarser levels have twice as many.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        seen, wide = _CODES * _BLOCK**3, 2 * width
        self.fine = nn.Conv3d(seen, width, 3, padding=1)
        self.down = nn.Conv3d(width, wide, 2, stride=2)
        self.middle = nn.Conv3d(wide, wide, 3, padding=1)
        self.deeper = nn.Conv3d(wide, wide, 2, stride=2)
        self.coarse = nn.Conv3d(wide, wide, 3, padding=1)
        self.joined = nn.Conv3d(2 * wide, width, 1)
        self.refine = nn.Conv3d(2 * width, width, 3, padding=1)
        self.head = nn.Conv3d(width + seen, 4 * _BLOCK**3, 1)

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Complete grids.

        Args:
            codes: Shares of unknown, free and surface [B,3,G,G,G]; G a multiple of 8.

        Returns:
            Logits of holding surface [B,G,G,G], and where in the voxel it lies, from its centre
            along x, y, z in units of its side, [B,3,G,G,G] in -.5..+.5.

        Raises:
            PolicyError: G is no multiple of 8.
        """
        if codes.shape[-1] % (4 * _BLOCK):
            raise PolicyError(
                f"a grid of {codes.shape[-1]} voxels a side cannot be halved three times",
                "use a grid whose side is a multiple of 8",
            )
        seen = _fold(codes).contiguous(memory_format=torch.channels_last_3d)
        act = functional.silu
        fine = act(self.fine(seen))
        middle = act(self.middle(act(self.down(fine))))
        coarse = act(self.coarse(act(self.deeper(middle))))
        joined = self.joined(torch.cat([middle, _twice(coarse)], 1))
        refined = act(self.refine(torch.cat([fine, _twice(joined)], 1)))
        out = _unfold(self.head(torch.cat([refined, seen], 1)))
        measured = codes[:, SURFACE] - codes[:, FREE]
        return out[:, 0] + _TRUST * measured, 0.5 * torch.tanh(out[:, 1:])


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2)


def _fold(x: Tensor) -> Tensor:
    """Turn blocks of voxels into channels: [B,C,G,G,G] to [B,8C,G/2,G/2,G/2]."""
    batch, channels, grid = x.shape[:3]
    half = grid // _BLOCK
    blocks = x.reshape(batch, channels, half, _BLOCK, half, _BLOCK, half, _BLOCK)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, -1, half, half, half)


def _unfold(x: Tensor) -> Tensor:
    """Undo `_fold`."""
    batch, channels, half = x.shape[:3]
    blocks = x.reshape(batch, channels // _BLOCK**3, _BLOCK, _BLOCK, _BLOCK, half, half, half)
    grid = half * _BLOCK
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, -1, grid, grid, grid)


def completion_loss(
    module: nn.Module, codes: Tensor, surface: Tensor, offsets: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the losses as (sum, count) pairs.

    Args:
        module: A `CompletionNet`, or its data-parallel wrapper.
        codes: See `CompletionNet.forward`.
        surface: 1 where a voxel holds surface [B,G,G,G].
        offsets: Where in the voxel it lies [B,3,G,G,G]; NaN where that is not known.

    Returns:
        `surface`: cross-entropy over all voxels, so that the probabilities are calibrated;
        `offset`: absolute error over the known ones, in voxel sides.
    """
    logits, guess = module(codes)
    entropy = functional.binary_cross_entropy_with_logits(logits, surface, reduction="sum")
    known = ~torch.isnan(offsets)
    error = (guess - offsets.nan_to_num()).abs().where(known, 0.0).sum()
    return {
        "surface": (entropy, surface.new_tensor(float(surface.numel()))),
        "offset": (error, known.sum().to(surface.dtype)),
    }
