"""Where the pictures are taken from, and what is told about it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.synthesis.settings import FaultSettings, SyntheticSettings
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.lie import so3_exp
from gimbal_vision.poses import look_at
from gimbal_vision.spheres import directions_from_angles

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
_UP = (0.0, 1.0, 0.0)


def camera(settings: SyntheticSettings) -> Pinhole:
    """Return the lens of all views."""
    return Pinhole.from_hfov(settings.size, settings.size, settings.fov_deg)


def true_poses(settings: SyntheticSettings, seed: int) -> Doubles:
    """Return [N, 4, 4] cam2world poses that look at the origin, y up, OpenCV axes.

    They are spread evenly over the zone between the two elevations and come in an order without
    meaning, so that any part of them is spread as well.
    """
    rng = np.random.default_rng([seed, 0xCA3])
    low, high = np.sin(np.radians(settings.elevation_deg))
    height = low + (high - low) * (np.arange(settings.views) + 0.5) / settings.views
    azimuth = _GOLDEN_ANGLE * np.arange(settings.views) + rng.uniform(0, 2 * np.pi)
    z_up = directions_from_angles(azimuth, np.arcsin(height))[rng.permutation(settings.views)]
    eyes = settings.distance * z_up[:, [1, 2, 0]]
    return np.asarray(look_at(eyes, up=_UP), np.float64)


def told_poses(true: Doubles, faults: FaultSettings, seed: int) -> tuple[Doubles, tuple[int, ...]]:
    """Return the poses that are written, and which views' are perturbed.

    Args:
        true: [N, 4, 4] cam2world.
        faults: Noise of the poses, scale and shift of the told world.
        seed: Of which views are perturbed, and how.
    """
    told = true.copy()
    rng = np.random.default_rng([seed, 0xFA17])
    axes = rng.normal(size=(len(true), 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    count = round(faults.pose_noise_share * len(true)) if faults.pose_noise_deg else 0
    perturbed = np.sort(rng.permutation(len(true))[:count])
    turns = so3_exp(np.radians(faults.pose_noise_deg) * axes[perturbed])
    told[perturbed, :3] = turns @ told[perturbed, :3]
    told[:, :3, 3] = told_points(told[:, :3, 3], faults)
    return told, tuple(int(index) for index in perturbed)


def told_points(points: Doubles, faults: FaultSettings) -> Doubles:
    """Map [..., 3] points of the true world to the told one."""
    told: Doubles = faults.world_scale * points + np.array(faults.world_shift)
    return told


def exposure_gains(count: int, faults: FaultSettings) -> Doubles:
    """Return [N] factors of the views' radiance; their geometric mean is 1."""
    stops = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(count)
    return np.asarray(2.0 ** (faults.exposure_drift_stops * stops))
