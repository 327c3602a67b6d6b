"""One car as one view: the dictionary that a multi-view model of MapAnything's kind reads.

Keys and conventions are that family's (multicar.md A3): poses are OpenCV camera-to-world, here the
panorama's centre in the *main car's* frame; quaternions are (x, y, z, w); depth runs along the
ray. A panorama has no z-depth, and its camera is named by `camera_model` and `virtual_camera`, so
nothing has to guess a pinhole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_multicar.row_reading import camera_of
from gimbal_vision.cameras import Panorama
from gimbal_vision.cameras.dispatch import describe
from gimbal_vision.cameras.pointmaps import point_map
from gimbal_vision.poses import matrix_to_quaternion, relative_pose

View = dict[str, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

NORMALISATION = "dinov2"
RGB_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
RGB_STD = np.array([0.229, 0.224, 0.225], np.float32)
_NORMALISED = ((np.arange(256, dtype=np.float32)[:, None] / 255.0 - RGB_MEAN) / RGB_STD).T.copy()
"""[3, 256] what each byte of each channel becomes."""


def car_view(row: Mapping[str, Any], main_from_car: np.ndarray[Any, Any]) -> View:
    """Return the view of one row.

    Args:
        row: A row of the stage `panoramas`.
        main_from_car: [4, 4] pose of the car in the main car's frame.

    Returns:
        `img` [3, H, W] float32, normalised as `data_norm_type` says; `camera_pose` [4, 4],
        `camera_pose_quats` [4] and `camera_pose_trans` [3] float32, metres; `ray_directions_cam`
        [H, W, 3]; `depth_along_ray` [H, W, 1], 0 unknown; `has_depth`, whether any is known: a
        model's depth input is to be switched off where it is false; `pts3d_cam` and `pts3d`
        [H, W, 3] in the car's and the main car's frame; `valid_mask`, `non_ambiguous_mask` and
        `coverage` [H, W] bool; `camera_model`, `virtual_camera` and `camera_intrinsics` [3, 3] (fx
        and fy in pixels per radian); `is_metric_scale`; `dataset`, `label`, `instance`, `agent_id`
        and `is_synthetic`.
    """
    camera = camera_of(row)
    valid = np.asarray(row["valid"])
    return {
        "img": normalised(np.asarray(row["rgb"])),
        "data_norm_type": NORMALISATION,
        **_geometry(camera, np.where(valid, row["range_m"], 0.0), main_from_car),
        "has_depth": bool(valid.any()),
        "valid_mask": valid,
        "non_ambiguous_mask": np.asarray(row["non_ambiguous"]),
        "coverage": np.asarray(row["coverage"]),
        "is_metric_scale": True,
        "dataset": row["source"],
        "label": row["label"],
        "instance": row["frame"],
        "agent_id": row["agent_id"],
        "is_synthetic": row["source"] == "synthetic",
    }


def _geometry(camera: Panorama, range_m: Floats, main_from_car: np.ndarray[Any, Any]) -> View:
    """Return the keys that say where the camera is, what it is, and where its points are."""
    pose = np.asarray(main_from_car, np.float64)
    local = point_map(camera, range_m)
    turn, move = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
    points_main = local.points @ turn.T
    points_main += move
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    return {
        "camera_pose": pose.astype(np.float32),
        "camera_pose_quats": np.asarray(matrix_to_quaternion(pose[:3, :3]), np.float32),
        "camera_pose_trans": move,
        "ray_directions_cam": local.rays,
        "depth_along_ray": local.depth_along_ray,
        "pts3d_cam": local.points,
        "pts3d": points_main,
        "camera_model": camera.camera_model,
        "virtual_camera": describe(camera),
        "camera_intrinsics": K.astype(np.float32),
    }


def main_from_cars(rows: Sequence[Mapping[str, Any]]) -> Doubles:
    """Return [N, 4, 4] poses in the first car's frame; its own is exactly the identity."""
    poses: Doubles = np.stack([np.asarray(row["world_from_car"], np.float64) for row in rows])
    relative: Doubles = np.asarray(relative_pose(poses[:1], poses))
    relative[0] = np.eye(4)
    return relative


def normalised(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return [3, H, W] float32 of [H, W, 3] sRGB bytes, with DINOv2's mean and deviation."""
    image = np.empty((3, *rgb.shape[:2]), np.float32)
    for channel, table in enumerate(_NORMALISED):
        np.take(table, rgb[..., channel], out=image[channel], mode="clip")
    return image
