"""Poses of a vehicle's cameras, in the axes of several data sets, as poses in OpenCV axes.

| axes     | vehicle                        | camera a quaternion turns | yaw +    | pitch + |
|----------|--------------------------------|---------------------------|----------|---------|
| nuscenes | x forward, y left, z up        | OpenCV's                  | to left  | down    |
| unreal   | x forward, y right, z up       | Unreal's                  | to right | up      |
| opencv   | x right, y down, z forward     | OpenCV's                  | to right | up      |

A positive roll lowers the right side in all three. All angles at 0 look straight ahead, upright:
they turn the camera as a body (yaw, then pitch, then roll about its own axes), so that no one has
to write the quaternion that lays OpenCV's axes into the vehicle's. Quaternions are w, x, y, z, as
nuScenes' `calibrated_sensor` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from gimbal_multicar.opv2v.axes import to_opencv, x_to_world
from gimbal_vision.poses import make_pose, quaternion_to_matrix

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

Axes = Literal["nuscenes", "unreal", "opencv"]
AXES: tuple[str, ...] = get_args(Axes)

OPENCV_FROM_NUSCENES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""[3, 3]: forward, left, up becomes right, down, forward. Its determinant is 1: both are
right-handed."""
OPENCV_FROM_NUSCENES.setflags(write=False)


def car_from_quaternion(
    axes: Axes, translation_m: ArrayLike, quaternion_wxyz: Sequence[float]
) -> FloatArray:
    """Return the [4, 4] pose, OpenCV axes, of a camera whose rotation is given as a quaternion.

    Args:
        axes: Of the vehicle.
        translation_m: [3] in the vehicle's axes.
        quaternion_wxyz: From the camera's axes to the vehicle's.
    """
    w, x, y, z = quaternion_wxyz
    rotation = quaternion_to_matrix(np.array([x, y, z, w], np.float64))
    pose = make_pose(rotation, np.asarray(translation_m, np.float64))
    if axes == "unreal":
        return to_opencv(pose)
    return _turned(pose) if axes == "nuscenes" else pose


def car_from_angles(
    axes: Axes, translation_m: ArrayLike, yaw_pitch_roll_deg: Sequence[float]
) -> FloatArray:
    """Return the [4, 4] pose, OpenCV axes, of a camera turned from straight ahead by angles.

    Args:
        axes: Of the vehicle.
        translation_m: [3] in the vehicle's axes.
        yaw_pitch_roll_deg: See the module.
    """
    x, y, z = (float(value) for value in np.asarray(translation_m, np.float64))
    yaw, pitch, roll = yaw_pitch_roll_deg
    if axes == "nuscenes":
        x, y, z, yaw, pitch = x, -y, z, -yaw, -pitch
    elif axes == "opencv":
        x, y, z = z, x, -y
    return to_opencv(x_to_world([x, y, z, roll, yaw, pitch]))


def angles_of(car_from_camera: ArrayLike) -> tuple[float, float, float]:
    """Return yaw (to the right), pitch (up) and roll (right side down) in degrees."""
    R = np.asarray(car_from_camera, np.float64)[:3, :3]
    level = np.hypot(R[0, 2], R[2, 2])
    yaw, pitch = np.arctan2(R[0, 2], R[2, 2]), np.arctan2(-R[1, 2], level)
    roll = np.arctan2(R[1, 0], R[1, 1])
    return _degrees(yaw), _degrees(pitch), _degrees(roll)


def _degrees(radians: float) -> float:
    """Return degrees in (-180, 180] without the rounding errors that make -0 of 0."""
    degrees = round(float(np.degrees(radians)), 9) + 0.0
    return 180.0 if degrees == -180.0 else degrees


def _turned(vehicle_from_camera: FloatArray) -> FloatArray:
    return make_pose(
        OPENCV_FROM_NUSCENES @ vehicle_from_camera[:3, :3],
        OPENCV_FROM_NUSCENES @ vehicle_from_camera[:3, 3],
    )
