"""From a frame's numbers to a car with its rig, in OpenCV's axes and the chosen reference.

The poses of cameras and LiDAR are what counts. The file's own `extrinsic`, T_camera<-LiDAR, is the
same once more; it is kept as written so that a check can compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.axes import to_opencv
from gimbal_multicar.opv2v.boxes import boxes_from_numbers
from gimbal_multicar.opv2v.frame_yaml import FrameRecord
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId, Reference
from gimbal_vision.cameras import Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.poses import invert_pose

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
SizeOf = Callable[[str], tuple[int, int]]

NOMINAL_BOX_CENTRE_M = (0.0, 0.0, 0.75)
"""Centre of a car's box in its own Unreal axes, for a car that no other car has seen: half the
height of the sedans that drive in OPV2V."""

_WHOLE_PX = 1e-3


def car_frame(
    record: FrameRecord,
    frame_id: CarFrameId,
    folder: Path,
    world_from_car: FloatArray,
    size_of: SizeOf,
) -> CarFrame:
    """Return a car at one moment.

    Args:
        record: The numbers of its YAML file.
        frame_id: Which car and moment.
        folder: The car's folder.
        world_from_car: [4, 4] pose of the reference in Unreal's axes, see `reference_pose`.
        size_of: Gives height and width of a camera's image, asked only where the principal point
            is not in the middle of an image of whole pixels.

    Raises:
        DatasetError: There is no camera, or one is no pinhole with a pose.
    """
    path = folder / f"{frame_id.frame}.yaml"
    if not record.camera_names:
        raise DatasetError(f"{path} lists no camera", "leave the agent out")
    try:
        rig = _rig(record, world_from_car, size_of)
    except CameraError as error:
        raise DatasetError(f"{path}: {error.message}", error.remedy) from error
    boxes = boxes_from_numbers(record.vehicle_ids, record.vehicles)
    return CarFrame(
        id=frame_id,
        folder=folder,
        world_from_car=to_opencv(world_from_car),
        world_from_lidar=to_opencv(record.world_from_lidar),
        world_from_ego=to_opencv(record.world_from_ego),
        rig=rig,
        lidar_from_cameras_written=np.stack([_inverse(e) for e in record.extrinsics]),
        ego_speed_kmh=record.ego_speed_kmh,
        vehicles=tuple(box for box in boxes if box.id != frame_id.agent),
    )


def reference_pose(
    record: FrameRecord, reference: Reference, path: Path, box_centre_m: FloatArray | None = None
) -> FloatArray:
    """Return [4, 4] the pose of a car's reference in Unreal's axes.

    Args:
        record: The numbers of its YAML file.
        reference: Which point of the car.
        path: The YAML file, for errors.
        box_centre_m: [3] centre of the car's box in its own Unreal axes; none: the nominal one.

    Raises:
        DatasetError: The file has no `true_ego_pos`, which the reference needs.
    """
    if reference == "lidar":
        return record.world_from_lidar
    if not np.isfinite(record.world_from_ego).all():
        raise DatasetError(f"{path}: true_ego_pos is missing", "use data.reference=lidar")
    pose = record.world_from_ego.copy()
    if reference == "box_centre":
        centre = np.array(NOMINAL_BOX_CENTRE_M) if box_centre_m is None else box_centre_m
        pose[:3, 3] += pose[:3, :3] @ centre
    return pose


def image_size(K: FloatArray) -> tuple[int, int] | None:
    """Return height and width of the image whose middle is the principal point, as CARLA has it.

    None where twice the principal point is no whole number of pixels.
    """
    size = 2.0 * K[[1, 0], [2, 2]]
    whole = np.rint(size)
    if (whole < 1).any() or (np.abs(size - whole) > _WHOLE_PX).any():
        return None
    return int(whole[0]), int(whole[1])


def _rig(record: FrameRecord, world_from_car: FloatArray, size_of: SizeOf) -> Rig:
    car_from_cameras = to_opencv(invert_pose(world_from_car) @ record.world_from_cameras)
    cameras = []
    for name, K, pose in zip(record.camera_names, record.intrinsics, car_from_cameras, strict=True):
        height, width = image_size(K) or size_of(name)
        cameras.append(RigCamera(name, Pinhole.from_matrix(K, height, width), pose))
    return Rig(tuple(cameras))


def _inverse(extrinsic: FloatArray) -> FloatArray:
    """Return lidar_from_camera in OpenCV's axes, NaN where none is written or it has no inverse."""
    try:
        return to_opencv(np.linalg.inv(extrinsic))
    except np.linalg.LinAlgError:
        return np.full((4, 4), np.nan)
