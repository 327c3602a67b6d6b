"""What an exported surface looks like: albedo, metallic and perceptual roughness, all linear.

A material answers with GGX alpha, as learning has it; files hold roughness = sqrt(alpha), as glTF,
Blender and Mitsuba mean it. The root is taken here and nowhere else, and no value is
sRGB-encoded before it becomes the colour of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.exporting.errors import ExportError

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

Material = Callable[[Floats], tuple[Floats, Floats, Floats]]
"""Points [N, 3] of the mesh's frame to albedo [N, 3], metallic and GGX alpha [N, 1] or [N]."""

CHUNK = 65_536
"""Points asked at once: a wide network then needs about 100 MB."""
_SLACK = 1e-4
"""How far outside [0, 1] rounding may bring a value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Appearance:
    """What a surface looks like at N points.

    Attributes:
        albedo: [N, 3] linear, in [0, 1].
        metallic: [N] in [0, 1].
        roughness: [N] perceptual, sqrt of GGX alpha, in [0, 1].
    """

    albedo: Floats
    metallic: Floats
    roughness: Floats


def appearance_at(points: Doubles, material: Material, chunk: int = CHUNK) -> Appearance:
    """Ask a material at [N, 3] points, `chunk` of them at once.

    Raises:
        ExportError: It answers with another number of values, or with values outside [0, 1].
    """
    asked = np.asarray(points, np.float32)
    albedo, metallic, alpha = (np.empty((len(asked), width), np.float32) for width in (3, 1, 1))
    for start in range(0, len(asked), chunk):
        part = slice(start, start + chunk)
        count = len(asked[part])
        said = material(asked[part])
        albedo[part] = _checked(said[0], "albedo", (count, 3))
        metallic[part] = _checked(said[1], "metallic", (count, 1))
        alpha[part] = _checked(said[2], "alpha", (count, 1))
    return Appearance(albedo=albedo, metallic=metallic[:, 0], roughness=np.sqrt(alpha[:, 0]))


def _checked(values: Floats, name: str, shape: tuple[int, int]) -> Floats:
    found = np.asarray(values, np.float32)
    if found.shape != shape and found.shape != (shape[0],) * (shape[1] == 1):
        raise ExportError(
            f"the material's {name} has the shape {found.shape} at {shape[0]} points",
            f"return {name} as an array of shape {shape}",
        )
    if not (np.isfinite(found).all() and np.all(np.abs(found - 0.5) <= 0.5 + _SLACK)):
        raise ExportError(
            f"the material's {name} is not within 0 and 1 at every point",
            f"return {name} linear and within [0, 1]; a learning that diverged gives such values",
        )
    return np.clip(found.reshape(shape), 0.0, 1.0)
