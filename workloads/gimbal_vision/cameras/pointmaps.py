"""Rays, points and ranges of one image, whatever its camera model.

Nothing here is NaN, and unknown pixels keep their shape: their range is 0 and their point lies at
the optical centre, which is what a range of 0 along any ray means. Ask `known` before using points.
All images of one camera share its rays, which are computed once and cannot be written to: training
asks for them again with every view.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import is_rigid

Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class PointMap:
    """What a range image means.

    Attributes:
        rays: [H, W, 3] float32 unit directions, camera axes; read-only, shared by all images of
            the camera.
        points: [..., H, W, 3] float32, in the camera's axes or the world's, as asked for.
        depth_along_ray: [..., H, W, 1] float32 ranges, 0 where unknown.
        known: [..., H, W] bool.
    """

    rays: Floats
    points: Floats
    depth_along_ray: Floats
    known: Bools


def point_map(
    camera: CameraModel, range_m: ArrayLike, world_from_camera: ArrayLike | None = None
) -> PointMap:
    """Return rays, points and depths along the rays.

    Args:
        camera: Any model; hashable, as all of ours are.
        range_m: [..., H, W] distances along the rays; 0, negative or not finite where unknown.
        world_from_camera: [4, 4] rigid pose: points are then in the world. None: in the camera's
            axes.

    Raises:
        CameraError: The ranges are not of the camera's size, or the pose is none.
    """
    rays, single_rays = _rays_of(camera)
    distance, known = _known_ranges(camera, range_m)
    points = np.empty((*distance.shape, 3), np.float32)
    if world_from_camera is None:
        np.multiply(distance[..., None], rays, out=points, casting="same_kind")
    else:
        pose = _rigid(world_from_camera)
        points[...] = distance[..., None] * (rays @ pose[:3, :3].T) + pose[:3, 3]
    return PointMap(
        rays=single_rays,
        points=points,
        depth_along_ray=distance[..., None].astype(np.float32),
        known=known,
    )


@functools.lru_cache(maxsize=16)
def _rays_of(camera: CameraModel) -> tuple[Doubles, Floats]:
    """Return a camera's rays in double and in single precision, both read-only."""
    rays = np.array(camera.rays(), np.float64)
    single = rays.astype(np.float32)
    rays.flags.writeable = single.flags.writeable = False
    return rays, single


def _rigid(world_from_camera: ArrayLike) -> Doubles:
    pose = np.asarray(world_from_camera, np.float64)
    if pose.shape != (4, 4) or not is_rigid(pose):
        raise CameraError(
            "world_from_camera is no rotation and translation",
            "give a [4, 4] matrix without scale or reflection",
        )
    return pose


def _known_ranges(camera: CameraModel, range_m: ArrayLike) -> tuple[Doubles, Bools]:
    distance = np.asarray(range_m, np.float64)
    if distance.shape[-2:] != (camera.height, camera.width):
        raise CameraError(
            f"depths of shape {distance.shape} do not fit a camera of "
            f"{camera.height} x {camera.width}",
            "give one depth for each pixel, [..., height, width]",
        )
    known = np.isfinite(distance) & (distance > 0)
    return np.where(known, distance, 0.0), known
