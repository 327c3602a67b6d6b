"""Pixels averaged over patches: where a patch looks, how far that is, how much of it is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_SMALLEST_M = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class Patches:
    """P patches of each of N views.

    Attributes:
        rays: [B, N, P, 3] unit mean directions, camera axes.
        log_range: [B, N, P] mean logarithm of the known ranges along the rays; 0 without any.
        share: [B, N, P] of the pixels whose range is known, or its probability.
    """

    rays: Tensor
    log_range: Tensor
    share: Tensor

    @property
    def points(self) -> Tensor:
        """[B, N, P, 3] camera axes."""
        return self.rays * self.log_range.exp()[..., None]


def patches_of(rays: Tensor, ranges: Tensor, known: Tensor, grid: tuple[int, int]) -> Patches:
    """Average pixels over the patches of a grid.

    Args:
        rays: [B, N, H, W, 3] unit, or [H, W, 3] where all views share them.
        ranges: [B, N, H, W] along the rays.
        known: [B, N, H, W] weight of each range, 0 to 1.
        grid: Rows and columns, which divide H and W.
    """
    batch, count = ranges.shape[:2]
    if rays.ndim == 3:
        rays = rays.expand(batch, count, *rays.shape)
    share = pooled(known, grid)
    logs = pooled(ranges.clamp_min(_SMALLEST_M).log() * known, grid)
    directions = torch.stack([pooled(axis, grid) for axis in rays.unbind(-1)], dim=-1)
    return Patches(
        rays=F.normalize(directions, dim=-1, eps=1e-6),
        log_range=logs / share.clamp_min(1e-6),
        share=share,
    )


def pooled(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the means [B, N, rows * columns] of values [B, N, H, W]."""
    rows, columns = grid
    batch, count, height, width = values.shape
    parts = values.reshape(batch, count, rows, height // rows, columns, width // columns)
    return parts.mean((3, 5)).flatten(2)
