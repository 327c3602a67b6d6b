"""Whether materials on the surface lie in a physical range (R031).

Networks end in a sigmoid, so no value is beyond 0 and 1: what is not physical is a network pushed
to its end. Metallic is left out, since metals do end at 1, and so is the mirror's end of roughness.
"""

from __future__ import annotations

import numpy as np

from gimbal_nero.watching.rendering import Floats, Seen

_SOLID = 0.5
"""Rays of less weight show no material."""
RANGES = {"roughness": (0.0, 0.99), "albedo": (0.005, 0.995)}
"""Albedo counts as out of its range where all three channels are."""


def material_numbers(seen: Seen) -> dict[str, float]:
    """Return means of materials where rays are solid, and how many are out of range.

    Returns:
        `metallic`, `roughness`, `albedo` and `occlusion` as far as they are there, and
        `out_of_range`: share of the solid rays whose roughness or albedo is; 1 where no ray is
        solid. Empty where colours are not made of materials.
    """
    if not seen.material:
        return {}
    solid = seen.opacity >= _SOLID
    if not solid.any():
        return {"out_of_range": 1.0}
    values = {name: surface_value(seen, name)[solid] for name in seen.material}
    wrong = np.zeros(int(solid.sum()), np.bool_)
    for name, (low, high) in RANGES.items():
        if name in values:
            inside = (values[name] >= low) & (values[name] <= high)
            wrong |= ~inside.any(-1)
    shown = ("metallic", "roughness", "albedo", "occlusion")
    means = {name: float(values[name].mean()) for name in shown if name in values}
    return means | {"out_of_range": float(wrong.mean())}


def surface_value(seen: Seen, name: str) -> Floats:
    """Return [R, C] a material as if rays were opaque: its weighted sum over the weights' sum."""
    return np.asarray(seen.material[name] / np.maximum(seen.opacity, 1e-6)[:, None], np.float64)
