"""8-bit sRGB pictures and linear light, as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.capture import Bytes

Doubles = np.ndarray[Any, np.dtype[np.float64]]


def linear_of(picture: Bytes) -> Doubles:
    """Return the linear light of an 8-bit sRGB picture of any shape."""
    import torch

    from gimbal_nero.volume.colour import to_linear

    levels = to_linear(torch.arange(256, dtype=torch.float64) / 255.0).numpy()
    return np.asarray(levels[picture], np.float64)


def bytes_of(linear: Doubles) -> Bytes:
    """Return linear light of any shape as 8-bit sRGB, white beyond 1."""
    import torch

    from gimbal_nero.volume.colour import to_srgb

    encoded = to_srgb(torch.from_numpy(np.clip(linear, 0.0, 1.0))).numpy()
    return np.asarray(np.rint(255.0 * encoded), np.uint8)
