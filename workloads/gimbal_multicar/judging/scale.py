"""Whether lengths are metres: the scene's size as predicted over the true one.

A ratio, never a difference: 1 m too much means nothing without the scene's size (multicar.md A7).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

LEAST_RATIO = 1e-6
"""What a scene of no size counts as, so that it stays in the mean of logarithms."""


def scale_errors(predicted: Floats, true: Floats, valid: Bools) -> dict[str, float | None]:
    """Return `ratio` = s / g and `abs_log` = |log(s / g)|, with both sizes in metres.

    s and g are the mean distances of the scene's points from the main car.

    Args:
        predicted: [..., 3] points in the main car's frame, metres.
        true: [..., 3] likewise.
        valid: [...] where the truth is known.
    """
    if not valid.any():
        return {"predicted_m": None, "true_m": None, "ratio": None, "abs_log": None}
    s, g = (
        float(np.linalg.norm(points[valid].astype(np.float64), axis=-1).mean())
        for points in (predicted, true)
    )
    ratio = s / g
    log = abs(float(np.log(max(ratio, LEAST_RATIO))))
    return {"predicted_m": s, "true_m": g, "ratio": ratio, "abs_log": log}
