"""PSNR and SSIM of 8-bit pictures, as they are published."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal_nero.capture import Bytes

SMALLEST_SIDE = 7
"""Pixels of SSIM's window; smaller pictures have none."""
_LEAST_ERROR = 1.0 / 12.0
"""Variance of rounding to 8 bits: equal pictures get 58.9 dB and not infinity, which no mean of
several views would survive."""


def psnr_db(said: Bytes, true: Bytes) -> float:
    """Return the peak signal-to-noise ratio of two [H, W, 3] pictures in decibels, at most 58.9."""
    error = float(np.mean((said.astype(np.float64) - true) ** 2))
    return 10.0 * math.log10(255.0**2 / max(error, _LEAST_ERROR))


def ssim(said: Bytes, true: Bytes) -> float:
    """Return the structural similarity of two [H, W, 3] pictures of `SMALLEST_SIDE` or more."""
    from skimage import metrics

    compare: Any = metrics.structural_similarity
    return float(compare(said, true, channel_axis=2, data_range=255, win_size=SMALLEST_SIDE))
