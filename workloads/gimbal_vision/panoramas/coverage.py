"""What a rig can see of a panorama, from calibration alone.

A check against the builder must not share its arithmetic, so nothing is projected here: a
direction is seen where it lies on the inner side of the four planes through the optical centre and
the image's edges, n . d > 0, and not too far from the axis. Directions are at infinity: where the
cameras stand does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.cameras import Panorama, Pinhole
from gimbal_vision.panoramas.model import MIN_COS_VIEW_ANGLE
from gimbal_vision.panoramas.rig import Rig

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

SUPERSAMPLE = 1
"""Samples of a pixel along each side. At its centre alone, as the builder sees it: finer ones come
closer to the true area, but farther from what a panorama of few pixels can show of it."""


def edge_planes(camera: Pinhole) -> FloatArray:
    """Return [4, 3] inward normals, in camera axes, of the planes through the image's four edges.

    A direction d in front of the camera is in the image where all four n . d are positive: left,
    right, upper and lower edge. The edges are those of the outermost pixels, not their centres.
    """
    right, lower = camera.width - camera.cx, camera.height - camera.cy
    return np.array(
        [
            [camera.fx, 0.0, camera.cx],
            [-camera.fx, 0.0, right],
            [0.0, camera.fy, camera.cy],
            [0.0, -camera.fy, lower],
        ]
    )


def seen_by(
    rig: Rig, rays_car: FloatArray, min_cos_view_angle: float = MIN_COS_VIEW_ANGLE
) -> Bools:
    """Return [N, ...] bool: which of the rig's N cameras sees which direction.

    Args:
        rig: Cameras.
        rays_car: [..., 3] unit directions in the car's frame.
        min_cos_view_angle: A camera sees nothing farther from its axis than this cosine.
    """
    seen = np.empty((len(rig.cameras), *rays_car.shape[:-1]), np.bool_)
    for n, mounted in enumerate(rig.cameras):
        car_from_camera = mounted.car_from_camera[:3, :3]
        normals_car = edge_planes(mounted.camera) @ car_from_camera.T
        inside = rays_car @ car_from_camera[:, 2] > min_cos_view_angle
        for normal in normals_car:
            inside &= rays_car @ normal > 0.0
        seen[n] = inside
    return seen


def camera_counts(
    rig: Rig, camera: Panorama, min_cos_view_angle: float = MIN_COS_VIEW_ANGLE
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return [H, W] uint8: how many cameras see each pixel's centre."""
    seen = seen_by(rig, camera.rays(), min_cos_view_angle)
    counts: np.ndarray[Any, np.dtype[np.uint8]] = seen.sum(axis=0, dtype=np.uint8)
    return counts


def expected_coverage(
    rig: Rig,
    camera: Panorama,
    min_cos_view_angle: float = MIN_COS_VIEW_ANGLE,
    *,
    supersample: int = SUPERSAMPLE,
) -> float:
    """Return the share of the panorama's area that at least one camera sees.

    Args:
        rig: Cameras.
        camera: The panorama.
        min_cos_view_angle: See `seen_by`.
        supersample: Samples of a pixel along each side.
    """
    return _share(rig, camera, min_cos_view_angle, supersample, at_least=1)


def expected_overlap(
    rig: Rig,
    camera: Panorama,
    min_cos_view_angle: float = MIN_COS_VIEW_ANGLE,
    *,
    supersample: int = SUPERSAMPLE,
) -> float:
    """Return the share of the panorama's area that two cameras or more see; see above."""
    return _share(rig, camera, min_cos_view_angle, supersample, at_least=2)


def camera_shares(
    rig: Rig, camera: Panorama, min_cos_view_angle: float = MIN_COS_VIEW_ANGLE
) -> dict[str, float]:
    """Return the share of the panorama's pixels that each camera sees, others or no others."""
    seen = seen_by(rig, camera.rays(), min_cos_view_angle)
    return {name: float(s.mean()) for name, s in zip(rig.names, seen, strict=True)}


def _share(
    rig: Rig, camera: Panorama, min_cos_view_angle: float, supersample: int, *, at_least: int
) -> float:
    fine = camera.resized(camera.height * supersample, camera.width * supersample)
    return float((camera_counts(rig, fine, min_cos_view_angle) >= at_least).mean())
