"""Turn a car about its vertical axis: an augmentation without an approximation.

A panorama has no seam, so rolling its columns by k is what the car would see had its frame been
turned by 2 pi k / W about y (down). The pose is turned back by as much: every pixel keeps its world
point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

PIXELS = ("rgb", "range_m", "valid", "non_ambiguous")


def turned(batch: Mapping[str, Any], columns: Tensor) -> dict[str, Any]:
    """Return a batch of panoramas whose cars are turned.

    Args:
        batch: See `batch`, `rgb` may be missing; its rays and solid angles are those of a panorama.
        columns: [B, N] int64, by how many pixels each view is rolled to the right.
    """
    width = batch["range_m"].shape[-1]
    pose: Tensor = batch["camera_pose"]
    turn = yaw(columns.to(pose.dtype) * (2.0 * math.pi / width))
    return {
        **batch,
        **{name: rolled(batch[name], columns) for name in PIXELS if name in batch},
        "camera_pose": torch.cat([pose[..., :3] @ turn.mT, pose[..., 3:]], dim=-1),
    }


def rolled(pixels: Tensor, columns: Tensor) -> Tensor:
    """Roll [B, N, H, W, ...] along W by [B, N] columns to the right."""
    width = pixels.shape[3]
    source = (torch.arange(width, device=pixels.device) - columns[..., None]) % width
    index = source.reshape(*columns.shape, 1, width, *([1] * (pixels.ndim - 4)))
    return torch.gather(pixels, 3, index.expand(pixels.shape))


def yaw(angle: Tensor) -> Tensor:
    """Return [..., 3, 3] rotations about y that take azimuth phi to phi + angle."""
    sine, cosine = torch.sin(angle), torch.cos(angle)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [(cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine)]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
