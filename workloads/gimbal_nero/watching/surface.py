"""Whether weights along rays peak where the distance crosses zero (R028)."""

from __future__ import annotations

import numpy as np

from gimbal_nero.watching.rendering import Bools, Floats, Seen

NEAR = 0.1
"""Unit lengths around the surface within which weight counts as the surface's."""
_WORST = 2.0
"""The sphere's diameter: said where no ray meets a surface."""


def crossings(seen: Seen) -> tuple[Bools, Floats]:
    """Return which of R rays enter the shape, and [R] how far along (0 where they do not).

    The first place where the distance falls through zero within the sphere, by a straight line
    between the two samples around it.
    """
    before, after = seen.sdf[:, :-1], seen.sdf[:, 1:]
    falls = (before > 0) & (after <= 0) & seen.inside[:, :-1] & seen.inside[:, 1:]
    enters: Bools = np.asarray(falls.any(-1))
    row, first = np.arange(len(falls)), falls.argmax(-1)
    high, low = before[row, first], after[row, first]
    share = high / np.where(enters, high - low, 1.0)
    near, far = seen.distances[row, first], seen.distances[row, first + 1]
    return enters, np.asarray(np.where(enters, near + share * (far - near), 0.0), np.float64)


def surface_numbers(seen: Seen) -> dict[str, float]:
    """Return how weights lie about the surface.

    Returns:
        `hit_share`: of the rays, those that enter the shape; over these, `peak_miss`: median
        distance from the largest weight to the surface; `weight_near`: mean weight within `NEAR`
        of it; `opacity`: mean weight in the sphere. `gradient_off`: mean of | |gradient| - 1 |.
    """
    enters, place = crossings(seen)
    off = float(np.abs(seen.gradient_length - 1.0).mean()) if len(seen.gradient_length) else 1.0
    if not enters.any():
        lost = {"hit_share": 0.0, "peak_miss": _WORST, "weight_near": 0.0, "opacity": 0.0}
        return lost | {"gradient_off": off}
    distances, place = seen.distances[enters], place[enters, None]
    weights = (seen.weights * seen.inside)[enters]
    peak = np.take_along_axis(distances, weights.argmax(-1)[:, None], -1)
    near = np.abs(distances - place) <= NEAR
    return {
        "hit_share": float(enters.mean()),
        "peak_miss": float(np.median(np.abs(peak - place))),
        "weight_near": float((weights * near).sum(-1).mean()),
        "opacity": float(seen.opacity[enters].mean()),
        "gradient_off": off,
    }


def weight_spread(seen: Seen) -> float:
    """Return the mean standard deviation of weights along rays that enter, in unit lengths.

    It is wide while opacity is still flat and narrow once it peaks (R031).
    """
    enters, _ = crossings(seen)
    weights = (seen.weights * seen.inside)[enters]
    total = weights.sum(-1)
    kept = total > 1e-6
    if not kept.any():
        return _WORST
    share = weights[kept] / total[kept, None]
    distances = seen.distances[enters][kept]
    middle = (share * distances).sum(-1, keepdims=True)
    return float(np.sqrt((share * (distances - middle) ** 2).sum(-1)).mean())
