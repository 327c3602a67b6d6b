"""Tiny data sets in OPV2V's layout, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gimbal_multicar.opv2v.axes import to_opencv, x_to_world
from gimbal_multicar.opv2v.boxes import box_from_numbers
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.opv2v.nominal import LIDAR_MOUNT_UE, nominal_opv2v_rig
from gimbal_multicar.opv2v.pcd import LidarPoints
from gimbal_multicar.opv2v.writing import FramePayload, WriteOptions, write_frame
from gimbal_vision.poses import invert_pose

HEIGHT, WIDTH = 30, 40
SCENARIO = "2021_08_18_19_48_05"


def car_frame(root, agent="207", frame="000068", *, split="train", scenario=SCENARIO, x=0.0):
    """A car on a slope, with two vehicles about it; everything in the LiDAR's frame."""
    ego = x_to_world([x - 185.9, 108.5, 0.03, 0.4, 174.2, 2.0])
    lidar = ego @ x_to_world([*LIDAR_MOUNT_UE, 0, 0, 0])
    rig = nominal_opv2v_rig(HEIGHT, WIDTH)
    vehicles = [
        box_from_numbers("1045", [x - 200, 108, 0, 0, 174, 0, 0, 0, 0.75, 2.4, 1.0, 0.75, 20.5]),
        box_from_numbers("31", [x - 190, 118, 1, 3, -20, 4, 0, 0, 1.2, 4.0, 1.3, 1.2, 0.0]),
    ]
    return CarFrame(
        id=CarFrameId(split, scenario, agent, frame),
        folder=Path(root) / split / scenario / agent,
        world_from_car=to_opencv(lidar),
        world_from_lidar=to_opencv(lidar),
        world_from_ego=to_opencv(ego),
        rig=rig,
        lidar_from_cameras_written=rig.car_from_cameras,
        ego_speed_kmh=18.25,
        vehicles=tuple(vehicles),
    )


def cloud(frame: CarFrame, seed: int = 0) -> LidarPoints:
    """Points on the ground about the car, and some within each of its vehicles' boxes."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack(
        [rng.uniform(-40, 40, 500), np.full(500, 1.9), rng.uniform(-40, 40, 500)]
    )
    lidar_from_world = invert_pose(frame.world_from_lidar)
    parts = [ground]
    for box in frame.vehicles:
        local = rng.uniform(-1, 1, (40, 3)) * box.half_extent_m
        world = local @ box.world_from_box[:3, :3].T + box.world_from_box[:3, 3]
        parts.append(world @ lidar_from_world[:3, :3].T + lidar_from_world[:3, 3])
    points = np.concatenate(parts).astype(np.float32)
    return LidarPoints(points, (rng.integers(0, 256, len(points)) / 255).astype(np.float32))


def pictures(frame: CarFrame, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for n in frame.rig.names}


def depths(frame: CarFrame, metres: float = 12.5) -> dict[str, np.ndarray]:
    return {
        n: np.full((HEIGHT, WIDTH), metres + i, np.float32) for i, n in enumerate(frame.rig.names)
    }


def write_car(frame: CarFrame, options: WriteOptions | None = None, **payload) -> CarFrame:
    """Write a frame with images and points."""
    content = {"images": pictures(frame), "points": cloud(frame)} | payload
    write_frame(frame, FramePayload(**content), options)
    return frame


def touch(root, split="train", scenario=SCENARIO, **frames_of_agents) -> None:
    """Make empty YAML files: `a207=("000068",)`, `m1=(...)` for the road-side unit -1."""
    for agent, frames in frames_of_agents.items():
        name = agent[1:] if agent[0] == "a" else f"-{agent[1:]}"
        folder = Path(root) / split / scenario / name
        folder.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            (folder / f"{frame}.yaml").touch()


def without_cameras(frame: CarFrame, *names: str) -> CarFrame:
    """The frame with fewer cameras, as a rig and in what is written."""
    keep = [i for i, name in enumerate(frame.rig.names) if name not in names]
    return replace(
        frame,
        rig=frame.rig.only([n for n in frame.rig.names if n not in names]),
        lidar_from_cameras_written=frame.lidar_from_cameras_written[keep],
    )
