"""Where a patch is in its image, as numbers that exist for any grid.

Columns are told by sines and cosines of whole multiples of the angle 2 pi u / W: on a panorama that
angle is the azimuth, so its left and right end are neighbours, as they are in the world. A pinhole
image uses the same numbers; they are distinct within it, only its two sides look close, which the
harmonics of the encoder's learned projection can undo. Rows are told by waves of half the
frequency, so top and bottom stay far apart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HARMONICS = 16
"""Finest wave: a sixteenth of the width; grids are 6 to 72 patches wide."""

POSITION_NUMBERS = 4 * HARMONICS


def grid_positions(rows: int, columns: int, like: Tensor) -> Tensor:
    """Return [rows * columns, POSITION_NUMBERS], row by row, of the type and device of `like`."""
    waves = torch.arange(1, HARMONICS + 1, dtype=torch.float32, device=like.device)
    down = _centres(rows, like)[:, None] * waves * math.pi
    around = _centres(columns, like)[:, None] * waves * (2 * math.pi)
    down_waves = torch.cat([down.cos(), down.sin()], dim=-1)
    around_waves = torch.cat([around.cos(), around.sin()], dim=-1)
    row = down_waves[:, None].expand(rows, columns, -1)
    column = around_waves[None].expand(rows, columns, -1)
    return torch.cat([row, column], dim=-1).reshape(rows * columns, -1).to(like.dtype)


def reference_vector(dim: int) -> Tensor:
    """Return [dim]: row 0 of the sinusoidal table, sin 0 and cos 0 in turn."""
    return torch.arange(dim, dtype=torch.float32).remainder(2)


def _centres(count: int, like: Tensor) -> Tensor:
    return (torch.arange(count, dtype=torch.float32, device=like.device) + 0.5) / count
