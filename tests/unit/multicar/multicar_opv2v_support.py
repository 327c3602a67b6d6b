"""Tiny data sets in OPV2V's layout, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gimbal_multicar.opv2v import calibration
from gimbal_multicar.opv2v.axes import to_opencv, x_to_world
from gimbal_multicar.opv2v.boxes import box_from_numbers
from gimbal_multicar.opv2v.calibration import reference_pose
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.opv2v.nominal import LIDAR_MOUNT_UE, nominal_opv2v_rig
from gimbal_multicar.opv2v.pcd import LidarPoints
from gimbal_multicar.opv2v.writing import FramePayload, WriteOptions, write_frame
from gimbal_vision.poses import invert_pose

HEIGHT, WIDTH = 30, 40
SCENARIO = "2021_08_18_19_48_05"
FRAME_ID = CarFrameId("train", SCENARIO, "641", "000068")

FRONT = """\
camera0:
  cords:
  - -188.42767333984375
  - 108.78255462646484
  - 1.0467618703842163
  - 0.01269999984651804
  - 174.1822967529297
  - 0.3571000099182129
  extrinsic:
  - - 1.0
    - -1.7945426783596734e-17
    - -1.3700175594635893e-18
    - -3.0000010745535803
  - - -1.7945426783596734e-17
    - 1.0000000000000002
    - 1.2576271561978176e-19
    - 3.047260165089938e-06
  - - -1.3700175594635893e-18
    - 1.2576271561978176e-19
    - 1.0
    - 0.9000000535570623
  - - 0.0
    - 0.0
    - 0.0
    - 1.0
  intrinsic:
  - - 335.639852470912
    - 0.0
    - 400.0
  - - 0.0
    - 335.639852470912
    - 300.0
  - - 0.0
    - 0.0
    - 1.0
ego_speed: 18.261
lidar_pose:
- -185.4376220703125
- 108.47769927978516
- 1.9280468225479126
- 0.01269999984651804
- 174.1822967529297
- 0.3571000099182129
plan_trajectory:
- - -183.1
  - 108.3
  - 50
predicted_ego_pos:
- -186.1
- 108.6
- 0.031199999153614044
- 0.01269999984651804
- -185.95
- 0.3571000099182129
true_ego_pos:
- -185.94677734375
- 108.52999877929688
- 0.031199999153614044
- 0.01269999984651804
- 174.1822967529297
- 0.3571000099182129
vehicles:
  207:
    angle:
    - -0.0007
    - 1e-05
    - -3e-3
    center:
    - 0.0007
    - 0.0
    - 0.7188
    extent:
    - 2.4508
    - 1.0641
    - 0.7553
    location:
    - -150.25
    - 105.5
    - 0.03
    speed: 30.125
"""
"""An excerpt in OPV2V's own format: the front camera, the LiDAR 3.0 m behind and .9 m above it."""

RIGHT = """\
camera0:
  cords: [0, 0, 1.0, 0, 0, 0]
  intrinsic: &K [[335.639852470912, 0.0, 400.0], [0.0, 335.639852470912, 300.0], [0.0, 0.0, 1.0]]
camera1:
  cords:
    [-185.966064453125, 108.23001098632812, 1.8310985565185547,
     0.34946975111961365, -85.8179702758789, -0.07451619952917099]
  extrinsic:
  - [-0.17364817424400203, 0.9848077536157628, 1.0864765869510583e-12, -0.20861783858870808]
  - [-0.9848077536157627, -0.17364817424400203, 7.242175126665832e-11, 0.5444983106034726]
  - [7.15101654094051e-11, 1.1505934528821695e-11, 0.9999999999999999, 0.09999998063409721]
  - [0.0, 0.0, 0.0, 1.0]
  intrinsic: *K
lidar_pose:
  [-185.4376220703125, 108.47769927978516, 1.9280468225479126,
   0.01269999984651804, 174.1822967529297, 0.3571000099182129]
vehicles: {}
"""
"""Another, in flow style: the right camera, turned by 100 degrees; no ego pose, no vehicles."""


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


def yaml_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "000068.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def car(record, folder, reference="lidar") -> CarFrame:
    """The car of a file's numbers, whose images are of one pixel where they do not tell."""
    pose = reference_pose(record, reference, folder / "000068.yaml")
    return calibration.car_frame(record, FRAME_ID, folder, pose, lambda name: (1, 1))
