"""The columns of a panorama: one row per car and frame.

Real and made data are written by the same function, so nothing later can tell them apart by
accident; `source` says it on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal_multicar.data_settings import PanoramaSettings
from gimbal_multicar.opv2v.model import CarFrame
from gimbal_vision.cameras import describe
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.poses import invert_pose

CAMERA_NUMBERS = ("fx", "fy", "cx", "cy", "fov_vertical")
"""What `virtual_camera` holds, by the names that `gimbal_vision.cameras.describe` gives."""


def panorama_schema(settings: PanoramaSettings) -> BlockSchema:
    """Return the columns for panoramas of one size."""
    H, W = settings.height, settings.width
    car = "car (OpenCV: x right, y down, z forward)"
    return BlockSchema.of(
        Column("split", "string"),
        Column("scenario", "string"),
        Column("agent_id", "string"),
        Column("frame", "string", description="six digits"),
        Column("label", "string", description="scenario/agent_id"),
        Column("source", "string", description="opv2v or synthetic"),
        Column("rgb", "uint8", (H, W, 3), unit="sRGB"),
        Column("range_m", "float32", (H, W), unit="m", frame="along the ray", description="0: ?"),
        Column("coverage", "bool", (H, W), description="some camera sees it"),
        Column("non_ambiguous", "bool", (H, W), description="covered, and not sky"),
        Column("valid", "bool", (H, W), description="non_ambiguous, and the range is known"),
        Column("camera_index", "uint8", (H, W), description="which camera; 255 none"),
        Column("world_from_car", "float64", (4, 4), unit="m", frame="car to world (OpenCV axes)"),
        Column("camera_model", "string"),
        Column(
            "virtual_camera",
            "float64",
            (5,),
            description="fx, fy px/rad, cx, cy px, vertical field of view in degrees",
        ),
        Column("camera_names", "string", description="the rig's cameras, comma separated"),
        Column("camera_K", "float64", (None, 3, 3), unit="px", description="centres at +.5"),
        Column("camera_size", "int32", (None, 2), unit="px", description="height, width"),
        Column("car_from_camera", "float64", (None, 4, 4), unit="m", frame=car),
        Column("rig", "string", description="hash of the calibration"),
        Column("depth_source", "string", description="npy, opv2v_h, lidar, render or none"),
        Column("depth_density", "float32", unit="1", description="of the cameras' pixels"),
        Column("moved_share", "float32", unit="1", description="colours moved > 4 px by depth"),
        Column("box_ids", "string", description="vehicles, comma separated"),
        Column("boxes_car", "float32", (None, 8, 3), unit="m", frame=car, description="corners"),
        Column("ego_speed_kmh", "float32", unit="km/h"),
    )


@dataclass(frozen=True, kw_only=True)
class RowSource:
    """Where the pixels of a row come from.

    Attributes:
        source: `opv2v` or `synthetic`.
        depth_source: `npy`, `opv2v_h`, `lidar`, `render` or `none`.
        depth_density: Share of the cameras' pixels that have depth.
    """

    source: str
    depth_source: str
    depth_density: float


def panorama_row(frame: CarFrame, image: PanoramaImage, source: RowSource) -> Mapping[str, Any]:
    """Return one row."""
    described = describe(image.camera)
    cameras = frame.rig.cameras
    car_from_world = invert_pose(frame.world_from_car)
    corners = [
        v.corners_world() @ car_from_world[:3, :3].T + car_from_world[:3, 3] for v in frame.vehicles
    ]
    return {
        "split": frame.id.split,
        "scenario": frame.id.scenario,
        "agent_id": frame.id.agent,
        "frame": frame.id.frame,
        "label": frame.id.label,
        "source": source.source,
        "rgb": image.rgb,
        "range_m": image.range_m,
        "coverage": image.coverage,
        "non_ambiguous": image.non_ambiguous,
        "valid": image.valid,
        "camera_index": image.camera_index,
        "world_from_car": frame.world_from_car,
        "camera_model": described["model"],
        "virtual_camera": np.array([described[name] for name in CAMERA_NUMBERS], np.float64),
        "camera_names": ",".join(frame.rig.names),
        "camera_K": np.stack([c.camera.K for c in cameras]),
        "camera_size": np.array([[c.camera.height, c.camera.width] for c in cameras], np.int32),
        "car_from_camera": frame.rig.car_from_cameras,
        "rig": frame.rig.digest,
        "depth_source": source.depth_source,
        "depth_density": np.float32(source.depth_density),
        "moved_share": np.float32(image.moved_share),
        "box_ids": ",".join(v.id for v in frame.vehicles),
        "boxes_car": np.array(corners, np.float32).reshape(-1, 8, 3),
        "ego_speed_kmh": np.float32(frame.ego_speed_kmh),
    }
