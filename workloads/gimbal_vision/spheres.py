"""Directions on the unit sphere and the cameras that look inwards from them.

Azimuth turns from +x towards +y about the world's z axis; elevation is the angle above the xy
plane. Both are in radians unless a name ends in `_deg`.
"""

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
    index = np.arange(_count(n))
    z = 1.0 - (2.0 * index + 1.0) / n
    radius = np.sqrt(1.0 - z * z)
    angle = _GOLDEN_ANGLE * index
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)


def ring(n: int, elevation_deg: float = 0.0, start_deg: float = 0.0) -> Directions:
    """Return `n` unit vectors [n, 3] evenly spaced around the z axis at one elevation."""
    azimuth = np.radians(start_deg) + 2.0 * np.pi * np.arange(_count(n)) / n
    return directions_from_angles(azimuth, np.full(n, np.radians(elevation_deg)))


def directions_from_angles(azimuth: ArrayLike, elevation: ArrayLike) -> Directions:
    """Return unit vectors [..., 3] of azimuths and elevations in radians."""
    a, e = np.broadcast_arrays(np.asarray(azimuth, np.float64), np.asarray(elevation, np.float64))
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)


def angles(directions: ArrayLike) -> tuple[Directions, Directions]:
    """Return azimuth in (-pi, pi] and elevation in [-pi/2, pi/2] of [..., 3] directions."""
    d = np.asarray(directions, dtype=np.float64)
    azimuth = np.arctan2(d[..., 1], d[..., 0])
    return azimuth, np.arctan2(d[..., 2], np.hypot(d[..., 0], d[..., 1]))


def angular_distances(first: ArrayLike, second: ArrayLike) -> Directions:
    """Return the angles [A, B] in radians between unit vectors [A, 3] and [B, 3].

    From the chord, not the cosine, so that angles near 0 and pi keep their digits.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    opposite = np.linalg.norm(a[:, None] + b[None], axis=-1)
    distance: Directions = 2.0 * np.arctan2(apart, opposite)
    return distance


def nearest_neighbours(directions: ArrayLike, k: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the indices [N, k] of each direction's nearest others, nearest first.

    Ties go to the lower index.
    """
    distance = angular_distances(directions, directions)
    if not 1 <= k < len(distance):
        raise CameraError(
            f"{k} neighbours of each of {len(distance)} directions were asked for",
            f"Ask for 1 to {len(distance) - 1}.",
        )
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


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
    usable = np.isfinite(norm) & (norm > 0)
    if not (np.isfinite(radius) and radius > 0 and usable.all()):
        raise CameraError(
            "A camera on the sphere has no position",
            "Give a positive radius and finite directions other than zero.",
        )
    return PinholeCameras.from_fov(look_at(radius * d / norm), fov_y_deg, height, width)


def _count(n: int) -> int:
    if n < 1:
        raise CameraError(f"{n} directions were asked for", "Ask for at least one.")
    return n
