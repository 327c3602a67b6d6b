"""The three mask layers of a panorama, and its range, in one pass over its pixels.

`coverage` is calibration: what some camera sees. `non_ambiguous` leaves out the sky, where there is
no surface to speak of. `valid` leaves out what has no measured range. Each lies within the one
before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.rendering.jit import kernel

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def mask_layers(
    depth_m: Floats, range_per_depth: Floats, coverage: Bools, max_range_m: float
) -> tuple[Bools, Bools]:
    """Turn z-depths into ranges, in place, and return (non_ambiguous, valid).

    Args:
        depth_m: [H, W] float32, contiguous; becomes the range, 0 where that is unknown (depth 0,
            negative or not finite) or of the sky.
        range_per_depth: [H, W] float32 factors.
        coverage: [H, W] bool, contiguous.
        max_range_m: A range beyond is sky.
    """
    non_ambiguous, valid = np.empty_like(coverage), np.empty_like(coverage)
    _layers(
        depth_m.reshape(-1),
        range_per_depth.reshape(-1),
        coverage.reshape(-1),
        np.float32(max_range_m),
        non_ambiguous.reshape(-1),
        valid.reshape(-1),
    )
    return non_ambiguous, valid


@kernel()
def _layers(
    depth: Floats,
    factor: Floats,
    coverage: Bools,
    limit: np.float32,
    non_ambiguous: Bools,
    valid: Bools,
) -> None:
    for i in range(depth.size):
        r = depth[i] * factor[i]
        seen = coverage[i]
        sky = (r > limit) & (r < np.float32(np.inf))
        known = (r > np.float32(0)) & (r <= limit) & seen
        non_ambiguous[i] = seen & (not sky)
        valid[i] = known
        depth[i] = r if known else np.float32(0)
