"""One car at one moment of OPV2V, in OpenCV axes.

OPV2V is written in Unreal's axes (x forward, y right, z up, left-handed). Everything here has been
converted by conjugation with B = [[0,1,0],[0,0,-1],[1,0,0]]: p_cv = B p_ue = (y, -z, x), and
T_cv = B T_ue B^-1, so poses are proper rotations and the world is right-handed: x right, y *down*,
z forward. Only `opv2v.axes` and what reads or writes files knows Unreal's axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gimbal_vision.panoramas.rig import Rig

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

Reference = Literal["lidar", "ego", "box_centre"]
"""The car's frame: its LiDAR on the roof, its origin on the ground, or the centre of its box."""

SPLITS = ("train", "validate", "test", "test_culvercity")


@dataclass(frozen=True, order=True, slots=True)
class CarFrameId:
    """Which car at which moment.

    Attributes:
        split: Folder of the split, such as `train`.
        scenario: Folder of the scenario, such as `2021_08_18_19_48_05`.
        agent: Folder of the car, CARLA's actor id as text (a negative one is a road-side unit).
        frame: Six digits as text, such as `000068`.
    """

    split: str
    scenario: str
    agent: str
    frame: str

    def __str__(self) -> str:
        return f"{self.split}/{self.scenario}/{self.agent}/{self.frame}"

    @property
    def label(self) -> str:
        """What is unique to one car of one scenario: `scenario/agent`."""
        return f"{self.scenario}/{self.agent}"


@dataclass(frozen=True, eq=False)
class VehicleBox:
    """A vehicle's ground-truth box.

    Attributes:
        id: CARLA's actor id as text.
        world_from_box: [4, 4] pose of the box's centre; the box's own axes are OpenCV's: x right
            (width), y down (height), z forward (length).
        half_extent_m: [3] half width, half height, half length: along x, y, z of the box.
        speed_kmh: As written.
    """

    id: str
    world_from_box: FloatArray
    half_extent_m: FloatArray
    speed_kmh: float

    def corners_world(self) -> FloatArray:
        """Return the [8, 3] corners in the world; the signs of (x, y, z) count up in binary."""
        bits = np.array([[(i >> k) & 1 for k in (2, 1, 0)] for i in range(8)], np.float64)
        corners = (2.0 * bits - 1.0) * self.half_extent_m
        moved: FloatArray = corners @ self.world_from_box[:3, :3].T + self.world_from_box[:3, 3]
        return moved


@dataclass(frozen=True, eq=False)
class CarFrame:
    """One car at one moment: calibration, poses and boxes; images are read on demand.

    Attributes:
        id: Which car and moment.
        folder: The car's folder, which holds `NNNNNN.yaml`, images and the point cloud.
        world_from_car: [4, 4] pose of the chosen reference.
        world_from_lidar: [4, 4].
        world_from_ego: [4, 4] of the vehicle's origin on the ground.
        rig: The cameras in the car's frame, in the order of the YAML's `cameraN` keys.
        lidar_from_cameras_written: [N, 4, 4] the file's own `extrinsic`, inverted and in OpenCV
            axes; it is T_camera<-LiDAR on disk, and must agree with the poses. NaN where absent.
        ego_speed_kmh: As written; NaN where absent.
        vehicles: Boxes of the other vehicles the file lists.
    """

    id: CarFrameId
    folder: Path
    world_from_car: FloatArray
    world_from_lidar: FloatArray
    world_from_ego: FloatArray
    rig: Rig
    lidar_from_cameras_written: FloatArray
    ego_speed_kmh: float
    vehicles: tuple[VehicleBox, ...]

    def image_path(self, camera: str) -> Path:
        """Return where the image of a camera of the rig lies."""
        return self.folder / f"{self.id.frame}_{camera}.png"

    @property
    def yaml_path(self) -> Path:
        """The frame's own file."""
        return self.folder / f"{self.id.frame}.yaml"

    @property
    def pcd_path(self) -> Path:
        """The frame's point cloud."""
        return self.folder / f"{self.id.frame}.pcd"
