"""A rig's measurements onto its panorama: everything that the kernels need, made once.

What is kept of each panorama pixel is the nearest surface that was measured in it, at its range
from the panorama's centre. Nothing is filled: a pixel in which nothing was measured stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras import Cylindrical, Panorama
from gimbal_vision.panoramas.model import NO_CAMERA, BuildOptions
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.splatting import splat, splat_points

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Ids = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True, eq=False)
class Splatted:
    """The nearest measurement of each panorama pixel, flat.

    Attributes:
        ranges: [H * W] float32 from the panorama's centre, inf where there is none.
        pixels: [H * W] int32 index among the pixels of all cameras; meant for depths alone.
        owners: [H * W] uint8 camera, `NO_CAMERA` where there is none or a point is nearest.
    """

    ranges: Floats
    pixels: Ids
    owners: Bytes


class Splatter:
    """Throws what one rig measured onto its panorama; safe to share among threads.

    Args:
        rig: In the panorama's frame.
        camera: The panorama.
        options: `max_range_m`, and `depth_consistency` within a pixel.
    """

    def __init__(self, rig: Rig, camera: Panorama, options: BuildOptions) -> None:
        self._size = camera.height * camera.width
        rows = [camera.fy, camera.cy, isinstance(camera, Cylindrical)]
        thresholds = [options.max_range_m, options.depth_consistency]
        self._geometry = np.array([camera.height, camera.width, *rows, *thresholds], np.float64)
        self._poses = [
            np.concatenate([p[:3, :3].ravel(), p[:3, 3]]).astype(np.float32)
            for p in rig.car_from_cameras
        ]
        self._image_rays = [
            (m.z_one_rays()[0, :, 0].astype(np.float32), m.z_one_rays()[:, 0, 1].astype(np.float32))
            for m in (c.camera for c in rig.cameras)
        ]

    def splat(self, depths: Sequence[Floats], points_car: Floats | None = None) -> Splatted:
        """Return the nearest of all that was measured.

        Args:
            depths: For each camera, or for none, [h, w] float32 z-depth; contiguous.
            points_car: [P, 3] float32, contiguous.
        """
        ranges, offsets = (np.full(self._size, np.inf, np.float32) for _ in range(2))
        pixels, owners = np.full(self._size, -1, np.int32), np.full(self._size, NO_CAMERA, np.uint8)
        nearest, first = (ranges, offsets, pixels, owners), 0
        geometry = self._geometry.astype(np.float32)
        for i, depth in enumerate(depths):
            splat(depth, self._image_rays[i], self._poses[i], geometry, (i, first), nearest)
            first += depth.size
        if points_car is not None:
            splat_points(points_car, self._geometry, nearest)
        return Splatted(ranges, pixels, owners)
