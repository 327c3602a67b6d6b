"""Evidence from images and LiDAR: a point that two cameras see has one colour.

Stronger than looking at borders, because the LiDAR says how far a point is, so parallax does not
matter; but it needs cameras that overlap, and a LiDAR in its place.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from gimbal_multicar.checking.borders import ring
from gimbal_multicar.checking.placement import OrderCosts, orders
from gimbal_multicar.checking.samples import CarSample, points_in_car
from gimbal_vision.panoramas.rig import RigCamera
from gimbal_vision.poses import invert_pose, transform_points

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

MIN_POINTS = 50
NEAREST_M = 4.0
"""Nearer points are on the car itself, or hidden from one camera by it."""


def measure_overlaps(sample: CarSample) -> OrderCosts | None:
    """Return what each order of the images costs; None without overlap, points or images."""
    around = ring(sample)
    if around is None or sample.points_lidar is None or not len(sample.points_lidar):
        return None
    cameras, images = around
    points = points_in_car(sample)
    seen = [_seen(camera, points) for camera in cameras]
    tried = orders(len(cameras))
    totals, pairs = np.zeros(len(tried)), 0
    for j, k in combinations(range(len(cameras)), 2):
        both = (seen[j] >= 0).all(axis=1) & (seen[k] >= 0).all(axis=1)
        if both.sum() < MIN_POINTS:
            continue
        first, second = (
            np.stack([image[at[both, 1], at[both, 0]] for image in images]).astype(np.float64)
            for at in (seen[j], seen[k])
        )
        apart = np.abs(first[:, None] - second[None]).mean(axis=(-2, -1)) / 255.0
        totals += [apart[order[j], order[k]] for order in tried]
        pairs += 1
    if not pairs:
        return None
    return OrderCosts(
        place=sample.place, names=tuple(c.name for c in cameras), costs=totals / pairs
    )


def _seen(camera: RigCamera, points_car: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return [P, 2] column and row of each point, -1 where the camera cannot see it."""
    points = np.asarray(transform_points(invert_pose(camera.car_from_camera), points_car))
    pixels, ranges = camera.camera.project(points)
    u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1.0), -1, 0)
    inside = (u >= 0) & (v >= 0) & (u < camera.camera.width) & (v < camera.camera.height)
    inside &= ranges > NEAREST_M
    at = np.stack([u, v], axis=-1).astype(np.int64)
    return np.where(inside[:, None], at, -1)
