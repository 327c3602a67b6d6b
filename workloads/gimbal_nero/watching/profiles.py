"""Weights and distance along single rays, as numbers for a plot (R028, R031)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.watching.rendering import Array, Seen
from gimbal_nero.watching.surface import crossings

_DIGITS = 5


def chosen_pixels(seen: Seen) -> dict[str, int]:
    """Choose rays of a view that say most: `centre`, `edge` and `background`, as far as there are.

    `centre`: where the shape is entered most squarely, by the least distance at the middle of the
    ray; `edge`: where it is only just entered; `background`: nearest to the shape without it.
    """
    enters, _ = crossings(seen)
    deepest = np.where(seen.inside, seen.sdf, np.inf).min(-1)
    found = {}
    if enters.any():
        found["centre"] = int(np.where(enters, deepest, np.inf).argmin())
        found["edge"] = int(np.where(enters, deepest, -np.inf).argmax())
    beside = ~enters & np.isfinite(deepest)
    if beside.any():
        found["background"] = int(np.where(beside, np.abs(deepest - 0.1), np.inf).argmin())
    return found


def profile(seen: Seen, ray: int) -> dict[str, Any]:
    """Return one ray's samples in the sphere.

    Returns:
        `distance` (unit lengths from the camera), `weight`, `sdf`, and `surface`: where the shape
        is entered, or None.
    """
    enters, place = crossings(seen)
    inside = seen.inside[ray]
    return {
        "distance": _rounded(seen.distances[ray][inside]),
        "weight": _rounded(seen.weights[ray][inside]),
        "sdf": _rounded(seen.sdf[ray][inside]),
        "surface": round(float(place[ray]), _DIGITS) if enters[ray] else None,
    }


def pixel_name(view: View, ray: int) -> str:
    """Return view:row,column of a ray of `look_at_view`."""
    row, column = divmod(ray, view.camera.width)
    return f"{view.name}:{row},{column}"


def _rounded(values: Array) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]
