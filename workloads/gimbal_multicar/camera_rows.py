"""The columns of a car's own pictures: one row per car and frame, four pictures in a fixed order.

Views go around the car to the left: front, left, rear, right. OPV2V's files go front, right, left,
back, so a row is made by an explicit permutation, and a camera that does not look where its place
says is an error: whoever takes the files' order for the views' exchanges all but the front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.learning.settings import CameraViewSettings
from gimbal_multicar.opv2v.model import CarFrame
from gimbal_multicar.opv2v.nominal import CAMERA_MOUNTS_UE, nominal_opv2v_rig
from gimbal_multicar.rows import RowSource
from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.masks import mask_layers
from gimbal_vision.panoramas.model import MAX_RANGE_M
from gimbal_vision.panoramas.rig import Rig, RigCamera

Array = np.ndarray[Any, Any]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

FILE_ORDER = tuple(CAMERA_MOUNTS_UE)
"""OPV2V's cameras as its files number them: front, right, left, back."""
VIEWS_FROM_FILES = (0, 2, 3, 1)
"""For each view, which file it is."""
VIEW_NAMES = ("front", "left", "rear", "right")
VIEW_CAMERAS = tuple(FILE_ORDER[i] for i in VIEWS_FROM_FILES)
"""The cameras of the four views, in their order."""
YAW_DEG = tuple(CAMERA_MOUNTS_UE[name][3] for name in VIEW_CAMERAS)
"""Where each view is meant to look, degrees to the right of straight ahead."""


def camera_schema(view: CameraViewSettings) -> BlockSchema:
    """Return the columns for pictures of one size."""
    size = view.height, view.width
    car = "car (OpenCV: x right, y down, z forward)"
    order = ", ".join(VIEW_NAMES)
    return BlockSchema.of(
        Column("split", "string"),
        Column("scenario", "string"),
        Column("agent_id", "string"),
        Column("frame", "string", description="six digits"),
        Column("label", "string", description="scenario/agent_id"),
        Column("source", "string", description="opv2v or synthetic"),
        Column("rgb", "uint8", (4, *size, 3), unit="sRGB", description=order),
        Column(
            "range_m", "float32", (4, *size), unit="m", frame="along the ray", description="0:?"
        ),
        Column("non_ambiguous", "bool", (4, *size), description="a picture, and not sky"),
        Column("valid", "bool", (4, *size), description="non_ambiguous, and the range is known"),
        Column("present", "bool", (4,), description="the camera has a picture"),
        Column("K", "float64", (4, 3, 3), unit="px", description="of the scaled picture"),
        Column("car_from_camera", "float64", (4, 4, 4), unit="m", frame=car),
        Column("world_from_car", "float64", (4, 4), unit="m", frame="car to world (OpenCV axes)"),
        Column("depth_source", "string", description="npy, opv2v_h, lidar, render or none"),
        Column("depth_density", "float32", unit="1", description="of the cameras' pixels"),
    )


def camera_row(
    frame: CarFrame,
    images: Mapping[str, Bytes],
    z_depth_m: Mapping[str, Floats],
    source: RowSource,
    view: CameraViewSettings,
) -> Mapping[str, Any]:
    """Return one row.

    Args:
        frame: Its rig has the cameras' intrinsics in their own size.
        images: [h, w, 3] uint8 by camera, of any size. A camera without one is absent: its pixels
            are zeros that nothing may read, its calibration the nominal one.
        z_depth_m: [h, w] float32 by camera, of any size, 0 where unknown; may lack cameras.
        source: Where the pixels come from.
        view: The size of the views.

    Raises:
        DatasetError: No camera of the four has a picture, or one looks where another should.
    """
    rig = pictured_rig(frame, images, view)
    present = np.array([name in rig.names for name in VIEW_CAMERAS])
    by_name = {c.name: c for c in (*nominal_opv2v_rig(view.height, view.width).cameras,
                                   *rig.cameras)}  # fmt: skip
    slots = [by_name[name] for name in VIEW_CAMERAS]
    layers = [_layers(c, images, z_depth_m, view) for c in slots]
    return {
        "split": frame.id.split,
        "scenario": frame.id.scenario,
        "agent_id": frame.id.agent,
        "frame": frame.id.frame,
        "label": frame.id.label,
        "source": source.source,
        **{name: np.stack([one[name] for one in layers]) for name in layers[0]},
        "present": present,
        "K": np.stack([c.camera.K for c in slots]),
        "car_from_camera": np.stack([c.car_from_camera for c in slots]),
        "world_from_car": frame.world_from_car,
        "depth_source": source.depth_source,
        "depth_density": np.float32(source.depth_density),
    }


def pictured_rig(frame: CarFrame, images: Mapping[str, Bytes], view: CameraViewSettings) -> Rig:
    """Return the cameras of the four views that have a picture, scaled to the views' size.

    Raises:
        DatasetError: There is none, or one looks where another should.
    """
    cameras = [
        RigCamera(c.name, c.camera.resized(view.height, view.width), c.car_from_camera)
        for c in frame.rig.cameras
        if c.name in VIEW_CAMERAS and c.name in images
    ]
    if not cameras:
        raise DatasetError(
            f"{frame.folder}: {frame.id.frame} has a picture of none of {', '.join(FILE_ORDER)}",
            "unpack the images beside the YAML files, or use samples.views: panoramas",
        )
    for camera in cameras:
        _require_heading(camera, frame)
    return Rig(tuple(cameras))


def _require_heading(camera: RigCamera, frame: CarFrame) -> None:
    """Refuse a camera that looks nearer to another view's direction than to its own."""
    axis = camera.car_from_camera[:3, 2]
    yaw = float(np.degrees(np.arctan2(axis[0], axis[2])))
    apart = np.abs((yaw - np.array(YAW_DEG) + 180.0) % 360.0 - 180.0)
    own, nearest = VIEW_CAMERAS.index(camera.name), int(apart.argmin())
    if nearest != own:
        raise DatasetError(
            f"{frame.yaml_path}: {camera.name} looks {yaw:.0f} degrees to the right, like the "
            f"{VIEW_NAMES[nearest]} view, not the {VIEW_NAMES[own]} one",
            "name the cameras as OPV2V does (front, right, left, back), or use samples.views: "
            "panoramas",
        )


def _layers(
    camera: RigCamera,
    images: Mapping[str, Bytes],
    z_depth_m: Mapping[str, Floats],
    view: CameraViewSettings,
) -> dict[str, Array]:
    """Return colour, range and masks of one view; zeros where there is no picture."""
    size = view.height, view.width
    if camera.name not in images:
        nothing = np.zeros(size, np.bool_)
        return {
            "rgb": np.zeros((*size, 3), np.uint8),
            "range_m": np.zeros(size, np.float32),
            "non_ambiguous": nothing,
            "valid": nothing,
        }
    known = z_depth_m.get(camera.name)
    range_m = np.zeros(size, np.float32) if known is None else nearest(known, *size)
    masks = mask_layers(range_m, _range_per_depth(camera.camera), np.ones(size, np.bool_),
                        MAX_RANGE_M)  # fmt: skip
    return {
        "rgb": by_area(images[camera.name], *size),
        "range_m": range_m,
        "non_ambiguous": masks[0],
        "valid": masks[1],
    }


def _range_per_depth(camera: Pinhole) -> Floats:
    return np.ascontiguousarray(camera.range_per_depth(), np.float32)


def by_area(image: Bytes, height: int, width: int) -> Bytes:
    """Return [height, width, 3]: each pixel the mean of what it covers; enlarged, in between."""
    import cv2

    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def nearest(depth: Floats, height: int, width: int) -> Floats:
    """Return [height, width] float32: what lies under each pixel's centre, never a mixture."""
    rows = ((np.arange(height) + 0.5) * (depth.shape[0] / height)).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * (depth.shape[1] / width)).astype(np.int64)
    return np.ascontiguousarray(depth[np.ix_(rows, columns)], np.float32)
