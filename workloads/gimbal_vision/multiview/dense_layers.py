"""Two ways from four levels of tokens to the pixels' six numbers.

`DptLayers` is the published layout: a pyramid, fused from coarse to fine. Its last layers work on
all pixels with many channels, which on two cores costs more than the trunk; `LightLayers` do all
work on the grid of patches, unfold each patch into its pixels, and only smooth those, so borders of
patches do not show.

Convolutions pad with zeros, as published, at the ends of panoramas too: one model's images may be
of any camera, and that the ends meet is told by the encoder's positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 6
"""Ray 3, range 1, confidence 1, mask 1."""

_SMOOTHED = 8
"""Channels of a pixel in the light layers."""

Size = tuple[int, int]


class LightLayers(nn.Module):
    """One residual block on the patches, one small convolution on the pixels."""

    def __init__(self, widths: Sequence[int], dim: int, patch: int) -> None:
        super().__init__()
        wide = 4 * dim
        self.patch = patch
        self.read = nn.ModuleList(nn.Conv2d(width, wide, 1) for width in widths)
        self.mix = _Residual(wide)
        self.unfold = nn.Conv2d(wide, _SMOOTHED * patch**2, 1)
        self.smooth = nn.Conv2d(_SMOOTHED, CHANNELS, 3, padding=1)

    def forward(self, maps: Sequence[Tensor], size: Size) -> Tensor:
        """Return [M, CHANNELS, H, W] of four [M, D_i, rows, columns]."""
        read = [layer(level) for layer, level in zip(self.read, maps, strict=True)]
        mixed: Tensor = self.mix(torch.stack(read).sum(0))
        pixels: Tensor = self.smooth(F.pixel_shuffle(self.unfold(F.relu(mixed)), self.patch))
        return _resized(pixels, size)


class DptLayers(nn.Module):
    """Four levels at 4, 2, 1 and 1/2 times the grid, fused upwards to 8 times the grid."""

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        inner = [dim * 3 // 8, dim * 3 // 4, dim * 3 // 2, dim * 3]
        resizing = (
            nn.ConvTranspose2d(inner[0], inner[0], 4, stride=4),
            nn.ConvTranspose2d(inner[1], inner[1], 2, stride=2),
            nn.Identity(),
            nn.Conv2d(inner[3], inner[3], 3, stride=2, padding=1),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, own, 1), resize, nn.Conv2d(own, dim, 3, padding=1, bias=False)
            )
            for width, own, resize in zip(widths, inner, resizing, strict=True)
        )
        self.fusions = nn.ModuleList(_Fusion(dim, coarsest=level == 3) for level in range(4))
        self.narrow = nn.Conv2d(dim, dim // 2, 3, padding=1)
        last = max(8, dim // 8)
        self.pixels = nn.Sequential(
            nn.Conv2d(dim // 2, last, 3, padding=1), nn.ReLU(), nn.Conv2d(last, CHANNELS, 1)
        )

    def forward(self, maps: Sequence[Tensor], size: Size) -> Tensor:
        """Return [M, CHANNELS, H, W] of four [M, D_i, rows, columns]."""
        levels = [layer(level) for layer, level in zip(self.levels, maps, strict=True)]
        path = self.fusions[3](levels[3], None, _size(levels[2]))
        path = self.fusions[2](levels[2], path, _size(levels[1]))
        path = self.fusions[1](levels[1], path, _size(levels[0]))
        rows, columns = _size(levels[0])
        path = self.fusions[0](levels[0], path, (2 * rows, 2 * columns))
        result: Tensor = self.pixels(_resized(self.narrow(path), size))
        return result


class _Residual(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(dim, dim, 3, padding=1)
        self.second = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return result


class _Fusion(nn.Module):
    """Adds a level to the coarser ones' sum, mixes, and enlarges to the next level's size."""

    def __init__(self, dim: int, *, coarsest: bool) -> None:
        super().__init__()
        self.own: nn.Module = nn.Identity() if coarsest else _Residual(dim)
        self.mix = _Residual(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, level: Tensor, coarser: Tensor | None, size: Size) -> Tensor:
        path: Tensor = self.own(level)
        if coarser is not None:
            path = path + coarser
        result: Tensor = self.out(_resized(self.mix(path), size))
        return result


def _size(maps: Tensor) -> Size:
    return maps.shape[-2], maps.shape[-1]


def _resized(maps: Tensor, size: Size) -> Tensor:
    if _size(maps) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
