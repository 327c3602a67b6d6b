"""A car's own LiDAR sweep as a measurement of what surrounds the car.

The LiDAR stands on the roof and sees the roof. Those points are left out: a panorama shows what is
around a car, and the cameras, which stand elsewhere, show something else in those directions. What
lies above or below the car's outline cannot be anything but the car itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_multicar.opv2v.model import CarFrame
from gimbal_multicar.opv2v.pcd import LidarPoints
from gimbal_vision.poses import invert_pose, transform_points

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

BODY_SIDE_M = 1.1
BODY_BEHIND_M, BODY_AHEAD_M = 1.95, 2.95
"""The car's outline around the LiDAR, as OpenCOOD (OPV2V's own code) cuts it out."""


def beyond_body(points_lidar: Floats) -> Bools:
    """Return [P] whether points [P, 3], in the LiDAR's OpenCV axes, are outside the car's outline.

    Where a coordinate is not a number, the answer is yes.
    """
    x, z = points_lidar[:, 0], points_lidar[:, 2]
    inside: Bools = (np.abs(x) <= BODY_SIDE_M) & (z >= -BODY_BEHIND_M) & (z <= BODY_AHEAD_M)
    return ~inside


def without_body(cloud: LidarPoints) -> LidarPoints:
    """Return the sweep without the points on the car itself."""
    kept = beyond_body(cloud.points)
    return LidarPoints(cloud.points[kept], cloud.intensity[kept])


def cloud_in_car(frame: CarFrame, points_lidar: Floats) -> Floats:
    """Return [Q, 3] float32 points around the car, in the car's frame.

    Args:
        frame: Its poses say where the LiDAR is.
        points_lidar: [P, 3] in the LiDAR's OpenCV axes.
    """
    car_from_lidar = invert_pose(frame.world_from_car) @ frame.world_from_lidar
    around = points_lidar[beyond_body(points_lidar)].astype(np.float64)
    return np.asarray(transform_points(car_from_lidar, around), np.float32)
