"""Between light and the sRGB values of pictures (IEC 61966-2-1)."""

from __future__ import annotations

import torch
from torch import Tensor

_DARK, _DARK_SRGB, _SLOPE = 0.0031308, 0.04045, 12.92


def to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light, at least 0, of any shape; above 1 it goes on."""
    bright = 1.055 * linear.clamp(min=torch.finfo(linear.dtype).eps).pow(1.0 / 2.4) - 0.055
    return torch.where(linear <= _DARK, _SLOPE * linear, bright)


def to_linear(srgb: Tensor) -> Tensor:
    """Decode sRGB, at least 0, of any shape."""
    bright = ((srgb.clamp(min=torch.finfo(srgb.dtype).eps) + 0.055) / 1.055).pow(2.4)
    return torch.where(srgb <= _DARK_SRGB, srgb / _SLOPE, bright)
