"""Which camera colours a pixel, and how much of each where several see it.

Only colours are mixed. A depth between two surfaces is a surface that does not exist, so depth
always comes from one camera.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.sighting import Sighting

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

NO_CAMERA = 255
"""What `camera_index` says where no camera sees."""

LEAST_WEIGHT = 1e-6
"""Weight on the very border of an image, so that a pixel only borders see still has a colour."""


def smoothstep(t: FloatArray) -> FloatArray:
    """Return 3 t^2 - 2 t^3 with t held to 0..1: a ramp whose ends are level."""
    held = np.clip(t, 0.0, 1.0)
    ramp: FloatArray = held * held * (3.0 - 2.0 * held)
    return ramp


def border_distance(u: FloatArray, v: FloatArray, height: int, width: int) -> FloatArray:
    """Return pixels [...] from the closest border of an image; negative outside, NaN stays."""
    nearest: FloatArray = np.minimum(np.minimum(u, width - u), np.minimum(v, height - v))
    return nearest


def blend_weights(rig: Rig, sighting: Sighting, options: BuildOptions) -> FloatArray:
    """Return [N, ...] float64 shares of each camera's colour.

    Args:
        rig: N cameras.
        sighting: All of them, [N, ...].
        options: `blend` and `feather_px`.

    Returns:
        `nearest`: 1 for the camera whose axis is closest in angle. `feather`: smoothstep of the
        distance to the image's border over `feather_px`, divided by its sum over cameras; it runs
        to 0 where a camera's view ends inside another's. Sums to 1 where any camera sees, else 0.
    """
    if options.blend == "nearest":
        chosen = primary_camera(sighting, sighting.seen.astype(np.float64))
        return np.stack([(chosen == i).astype(np.float64) for i in range(len(rig.cameras))])
    ramps = []
    for i, camera in enumerate(rig.cameras):
        model = camera.camera
        distance = border_distance(sighting.u[i], sighting.v[i], model.height, model.width)
        ramp = np.maximum(smoothstep(distance / options.feather_px), LEAST_WEIGHT)
        ramps.append(np.where(sighting.seen[i], ramp, 0.0))
    weights = np.stack(ramps)
    total = weights.sum(axis=0)
    shares: FloatArray = weights / np.where(total > 0, total, 1.0)
    return shares


def primary_camera(sighting: Sighting, weights: FloatArray) -> Bytes:
    """Return [...] uint8: the camera of the largest weight, among equals the closest in angle.

    Args:
        sighting: All cameras, [N, ...].
        weights: [N, ...], 0 where unseen.
    """
    largest = weights >= weights.max(axis=0) - 1e-12
    angle_rank = np.where(sighting.seen & largest, sighting.cosine, -np.inf)
    index = angle_rank.argmax(axis=0).astype(np.uint8)
    return np.where(sighting.seen.any(axis=0), index, NO_CAMERA).astype(np.uint8)
