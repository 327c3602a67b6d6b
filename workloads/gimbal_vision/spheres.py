"""Directions on the unit sphere and the cameras that look inwards from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.cameras import PinholeCameras, look_at
from gimbal_vision.errors import CameraError

_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
Directions = np.ndarray[Any, np.dtype[np.float64]]


def fibonacci_sphere(n: int) -> Directions:
    """Return `n` nearly evenly spread unit vectors, always the same ones.

    Point i lies at height 1 - (2i + 1)/n, each a golden angle further around the z axis
    (Swinbank and Purser, 2006), so every point owns an equal share of the area.

    Args:
        n: How many; at least 1.

    Returns:
        [n, 3] float64, from near +z to near -z.
    """
    if n < 1:
        raise CameraError(f"{n} directions were asked for", "Ask for at least one.")
    index = np.arange(n)
    z = 1.0 - (2.0 * index + 1.0) / n
    radius = np.sqrt(1.0 - z * z)
    angle = _GOLDEN_ANGLE * index
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)


def sphere_cameras(
    directions: ArrayLike, radius: float, fov_y_deg: float, height: int, width: int
) -> PinholeCameras:
    """Return cameras at `radius * directions` that look at the origin, world z up.

    Args:
        directions: [N, 3], normalised here.
        radius: Distance of the optical centres from the origin, in world units.
        fov_y_deg: Vertical angle of view in degrees.
        height: Image height in pixels.
        width: Image width in pixels.
    """
    d = np.asarray(directions, dtype=np.float64).reshape(-1, 3)
    norm = np.linalg.norm(d, axis=-1, keepdims=True)
    if not np.isfinite(radius) or radius <= 0 or np.any(~(norm > 0)):
        raise CameraError(
            "A camera on the sphere has no position",
            "Give a positive radius and finite directions other than zero.",
        )
    cam2world = look_at(radius * d / norm)
    return PinholeCameras.from_fov(cam2world, fov_y_deg, height, width)
