"""Ground-truth boxes of vehicles, and whether a point cloud agrees with them.

`center` is the offset of the box's centre in the vehicle's own axes, as CARLA gives it; it is
turned with the vehicle before it is added. A file lists only vehicles that its LiDAR has hit, so
nearly every box must hold points: a cloud that lies otherwise is rotated or of another frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_multicar.opv2v.axes import (
    extent_to_opencv,
    extent_to_unreal,
    to_opencv,
    to_unreal,
    world_to_x,
    x_to_world,
)
from gimbal_multicar.opv2v.model import VehicleBox
from gimbal_vision.poses import invert_pose

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

VEHICLE_COLUMNS = 13
"""Numbers of one vehicle: location 3, angle 3 (roll, yaw, pitch), center 3, extent 3, speed."""


def boxes_from_numbers(ids: Sequence[str], numbers: ArrayLike) -> tuple[VehicleBox, ...]:
    """Return the boxes of some entries of `vehicles`.

    Args:
        ids: CARLA's actor ids.
        numbers: [V, 13] in Unreal's axes: `location` (m), `angle` (roll, yaw, pitch in degrees),
            `center` (m, in the vehicle's axes), `extent` (half length, width, height in m) and
            `speed` (km/h).
    """
    n = np.asarray(numbers, np.float64).reshape(len(ids), VEHICLE_COLUMNS)
    world_from_boxes = x_to_world(n[:, :6])
    world_from_boxes[:, :3, 3] += np.einsum("vij,vj->vi", world_from_boxes[:, :3, :3], n[:, 6:9])
    poses, extents = to_opencv(world_from_boxes), extent_to_opencv(n[:, 9:12])
    return tuple(
        VehicleBox(id=ids[i], world_from_box=poses[i], half_extent_m=extents[i], speed_kmh=speed)
        for i, speed in enumerate(n[:, 12].tolist())
    )


def box_from_numbers(vehicle_id: str, numbers: ArrayLike) -> VehicleBox:
    """Return the box of one entry of `vehicles`, [13] numbers; see `boxes_from_numbers`."""
    return boxes_from_numbers([vehicle_id], np.asarray(numbers, np.float64))[0]


def numbers_from_box(box: VehicleBox) -> FloatArray:
    """Return [13] numbers from which `box_from_numbers` makes the same box.

    The vehicle's origin, which a box does not know, is taken to be below its centre, on the ground.
    """
    world_from_box = to_unreal(box.world_from_box)
    extent = extent_to_unreal(box.half_extent_m)
    centre = np.array([0.0, 0.0, extent[2]])
    location = world_from_box[:3, 3] - world_from_box[:3, :3] @ centre
    angle = world_to_x(world_from_box)[3:]
    return np.concatenate([location, angle, centre, extent, [box.speed_kmh]])


def points_in_box(points_world: ArrayLike, box: VehicleBox, margin_m: float = 0.0) -> Bools:
    """Tell which points lie in a box.

    Args:
        points_world: [P, 3] in the world's OpenCV axes.
        box: The box.
        margin_m: How far outside of a face still counts.

    Returns:
        [P] bool.
    """
    box_from_world = invert_pose(box.world_from_box)
    local = np.asarray(points_world) @ box_from_world[:3, :3].T + box_from_world[:3, 3]
    inside: Bools = (np.abs(local) <= box.half_extent_m + margin_m).all(axis=-1)
    return inside


def count_points(
    points_world: ArrayLike, boxes: Sequence[VehicleBox], margin_m: float = 0.2
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many points lie in each box, [V] int64."""
    points = np.asarray(points_world, np.float64)
    counts = [np.count_nonzero(_in_reach(points, box, margin_m)) for box in boxes]
    return np.array(counts, np.int64)


def hit_share(points_world: ArrayLike, boxes: Sequence[VehicleBox], margin_m: float = 0.2) -> float:
    """Return the share of boxes that hold at least one point; NaN without boxes.

    Near 1 for a sound cloud of the file that lists the boxes, near 0 for a rotated one.
    """
    if not boxes:
        return float("nan")
    return float(np.mean(count_points(points_world, boxes, margin_m) > 0))


def _in_reach(points: FloatArray, box: VehicleBox, margin_m: float) -> Bools:
    """Look closer only at the points within the box's circumscribed ball."""
    reach = float(np.linalg.norm(box.half_extent_m)) + margin_m
    near = points[(np.abs(points - box.world_from_box[:3, 3]) <= reach).all(axis=-1)]
    return points_in_box(near, box, margin_m)
