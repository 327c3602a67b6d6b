"""Which camera colours a pixel, and how much of each where several see it.

Only colours are mixed. A depth between two surfaces is a surface that does not exist, so depth
always comes from one camera.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.panoramas.model import NO_CAMERA, BuildOptions
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.sighting import Sighting

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

LEAST_WEIGHT = 1e-6
"""Weight on the very border of an image, so that a pixel only borders see still has a colour."""

OUTSIDE_PX = -1e9
"""Distance to the border of an image that does not show the pixel: finite, so that two of them can
be compared without inf - inf."""


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
        `nearest`: 1 for the camera whose axis is closest in angle. `feather`: by distance b to the
        border of the image, over the ramp m = `feather_px`: smoothstep(b / m), which is 0 where a
        view ends inside another's, times smoothstep(1/2 + (b - rival's b) / 2m), which mixes along
        the line between two views only and leaves no ghosts of near things in the rest of a wide
        overlap; divided by the sum over cameras. Sums to 1 where any camera sees, else 0.
    """
    if options.blend == "nearest":
        chosen = primary_camera(sighting, sighting.seen.astype(np.float64))
        return np.stack([(chosen == i).astype(np.float64) for i in range(len(rig.cameras))])
    borders = np.full(sighting.seen.shape, OUTSIDE_PX)
    for i, camera in enumerate(rig.cameras):
        size = camera.camera.height, camera.camera.width
        distance = np.maximum(border_distance(sighting.u[i], sighting.v[i], *size), 0.0)
        borders[i] = np.where(sighting.seen[i], distance, OUTSIDE_PX)
    ramp = np.maximum(smoothstep(borders / options.feather_px), LEAST_WEIGHT)
    weights = np.where(sighting.seen, ramp * _lead(borders, options.feather_px), 0.0)
    total = weights.sum(axis=0)
    shares: FloatArray = weights / np.where(total > 0, total, 1.0)
    return shares


def _lead(borders: FloatArray, feather_px: float) -> FloatArray:
    """Return [N, ...] the part of the weight that compares a camera with its best rival."""
    leads = np.ones_like(borders)
    for i in range(len(borders)):
        rivals = np.delete(borders, i, axis=0)
        if len(rivals):
            lead = borders[i] - rivals.max(axis=0)
            leads[i] = smoothstep(0.5 + lead / (2.0 * feather_px))
    return leads


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
