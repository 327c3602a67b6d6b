"""Whether the object and what is behind it are told apart (R027, R030, R033).

Without masks, a pixel counts as background where its ray stays clear of the learnt shape: then the
numbers say whether the two branches agree with the shape, not whether the shape is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.learning.rays import MASK_UNKNOWN
from gimbal_nero.watching.rendering import Array, Bools, Seen

CLEAR = 0.1
"""Unit lengths: a ray that stays further from the surface shows what is behind."""


def background_numbers(seen: Seen, rgb: Array, mask: Array) -> dict[str, Any]:
    """Return what the two branches show at pixels of the background.

    Args:
        seen: R rays.
        rgb: [R, 3] their pixels, sRGB in [0, 1].
        mask: [R] 1 the object, 0 not, 2 unknown.

    Returns:
        `known_by`: `masks` or `distance`; `pixels`: of the background; over these, `inner_opacity`:
        mean weight in the sphere, which should be none; `outer_error`: mean absolute error of the
        outer branch alone; `outer_gain_db`: how much nearer it is to the pixels than their mean
        colour. Errors of no pixels are 0. `object_opacity`: mean weight at the object's pixels,
        by masks; 1 without any.
    """
    masked = bool((mask != MASK_UNKNOWN).any())
    behind = mask == 0 if masked else _clear(seen)
    shown = mask == 1
    numbers: dict[str, Any] = {
        "known_by": "masks" if masked else "distance",
        "pixels": int(behind.sum()),
        "inner_opacity": 0.0,
        "outer_error": 0.0,
        "outer_gain_db": 0.0,
        "object_opacity": float(seen.opacity[shown].mean()) if shown.any() else 1.0,
    }
    if behind.any():
        said, true = np.clip(seen.outer[behind], 0.0, 1.0), rgb[behind]
        numbers["inner_opacity"] = float(seen.opacity[behind].mean())
        numbers["outer_error"] = float(np.abs(said - true).mean())
        numbers["outer_gain_db"] = _gain_db(said, true)
    return numbers


def _clear(seen: Seen) -> Bools:
    closest = np.where(seen.inside, seen.sdf, np.inf).min(-1)
    return np.asarray(closest > CLEAR, np.bool_)


def _gain_db(said: Array, true: Array) -> float:
    """Compare squared errors; both have rounding to 8 bits in them, so none is 0."""
    rounding = 1.0 / (12.0 * 255.0**2)
    error = float(((said - true) ** 2).mean()) + rounding
    flat = float(((true - true.mean(0)) ** 2).mean()) + rounding
    return float(10.0 * np.log10(flat / error))
