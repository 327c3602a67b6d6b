"""A small data set whose every pixel and point is known by formula, and ways to break it.

A painted hall with boxes for vehicles, seen by the tests' own few lines of ray casting: nothing of
the platform's renderer or of the made streets is in it, so it is a second opinion on both.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import yaml

from gimbal_multicar.opv2v.axes import to_opencv, x_to_world
from gimbal_multicar.opv2v.boxes import box_from_numbers
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.opv2v.nominal import LIDAR_MOUNT_UE, nominal_opv2v_rig
from gimbal_multicar.opv2v.pcd import LidarPoints, read_pcd, write_pcd
from gimbal_multicar.opv2v.writing import FramePayload, write_frame

SETTINGS = (
    "data.panorama.width=252",
    "data.panorama.height=63",
    "data.panorama.vfov_deg=90",
    "data.panorama.warp=rotation",
    "data.splits=[train,validate]",
    "loader.num_views=[2]",
)
"""Of a check: a small panorama."""

HEIGHT, WIDTH = 120, 160
HALL_M = 55.0
ROOF_M = 9.0
SKY_M = 1000.0
FRAMES = ("000068", "000070", "000072")
AGENTS = ("1045", "207")
SCENARIOS = {
    "train": ("2021_08_16_22_26_54", "2021_08_18_09_02_57"),
    "validate": ("2021_08_20_21_10_24",),
}
WAVES = np.array([[0.21, 0.13, 0.05], [0.09, 0.31, 0.17], [0.05, 0.17, 0.23]]).T * 1.7


def paint(points: np.ndarray) -> np.ndarray:
    return 127.5 + 105.0 * np.sin(points @ WAVES + [0.0, 1.0, 2.0])


def cast(origin, rays, boxes):
    """Return distances and colours along unit rays, world OpenCV axes (y down, ground at 0)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.array([HALL_M, 0.0, HALL_M]), np.array([-HALL_M, -ROOF_M, -HALL_M])
        reach = np.where(rays > 0, walls[0] - origin, walls[1] - origin) / rays
        reach = np.where(rays == 0, np.inf, reach)
    t = reach.min(axis=-1)
    sky = (reach.argmin(axis=-1) == 1) & (rays[:, 1] < 0)
    tint = np.zeros((len(rays), 3))
    for n, box in enumerate(boxes):
        pose, half = box.world_from_box, box.half_extent_m
        towards = pose[:3, 3] - origin
        away, radius = np.linalg.norm(towards), np.linalg.norm(half)
        near = np.nonzero(rays @ (towards / away) > np.cos(np.arcsin(min(1.0, radius / away))))[0]
        o, d = -towards @ pose[:3, :3], rays[near] @ pose[:3, :3]
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (-half - o) / d, (half - o) / d
        enter = np.minimum(a, b).max(axis=-1)
        leave = np.maximum(a, b).min(axis=-1)
        hit = (enter < leave) & (enter > 0) & (enter < t[near])
        t[near[hit]] = enter[hit]
        sky[near[hit]] = False
        tint[near[hit]] = 60.0 * np.sin(2.4 * n + np.arange(3.0))
    colours = np.clip(paint(origin + t[:, None] * rays) + tint, 0, 255)
    colours[sky] = (170, 200, 240)
    return np.where(sky, SKY_M, t), colours


def parked(rng):
    """Boxes in a ring about the middle, each turned by its own angle."""
    boxes = []
    for n in range(14):
        angle = 2 * np.pi * (n + rng.uniform(-0.3, 0.3)) / 14
        away = rng.uniform(14, 26)
        x, y = away * np.cos(angle), away * np.sin(angle)
        yaw = rng.uniform(-180, 180)
        numbers = [x, y, 0.0, 0, yaw, 0, 0, 0, 0.9, 2.6, 1.0, 0.9, 0.0]
        boxes.append(box_from_numbers(str(500 + n), np.array(numbers)))
    return boxes


def ego_six(scenario: int, agent: int, frame: int) -> list[float]:
    """Cars on a slope drive a circle, so that yaw is never the same twice."""
    angle = 37.0 * scenario + 105.0 * agent + 9.0 * frame
    at = 7.0 * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    return [*at, 0.05, 0.6, angle + 80.0, 1.1]


def make_car(root: Path, where: tuple[str, int, int, int], plain: bool = False) -> None:
    split, scenario, agent, frame = where
    name = SCENARIOS[split][scenario]
    number = scenario + 10 * (split == "validate")
    lidar = x_to_world(ego_six(number, agent, frame)) @ x_to_world([*LIDAR_MOUNT_UE, 0, 0, 0])
    rig = nominal_opv2v_rig(HEIGHT, WIDTH)
    boxes = [] if plain else parked(np.random.default_rng([7, number]))
    pose = to_opencv(lidar)
    car = CarFrame(
        id=CarFrameId(split, name, AGENTS[agent], FRAMES[frame]),
        folder=root / split / name / AGENTS[agent],
        world_from_car=pose,
        world_from_lidar=pose,
        world_from_ego=to_opencv(x_to_world(ego_six(number, agent, frame))),
        rig=rig,
        lidar_from_cameras_written=rig.car_from_cameras,
        ego_speed_kmh=20.0,
        vehicles=tuple(boxes),
    )
    images, depths = {}, {}
    for c in rig.cameras:
        world_from_camera = pose @ c.car_from_camera
        rays = c.camera.rays().reshape(-1, 3)
        t, colours = cast(world_from_camera[:3, 3], rays @ world_from_camera[:3, :3].T, boxes)
        if plain:
            colours = np.full_like(colours, 90.0)
        images[c.name] = colours.reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
        depths[c.name] = (t * rays[:, 2]).reshape(HEIGHT, WIDTH).astype(np.float32)
    write_frame(car, FramePayload(images=images, points=sweep(pose, boxes), depths_m=depths))


def sweep(pose, boxes) -> LidarPoints:
    up, around = np.meshgrid(np.radians(np.linspace(-20, 4, 28)), np.linspace(0, 2 * np.pi, 360))
    rays = np.stack([np.cos(up) * np.sin(around), -np.sin(up), np.cos(up) * np.cos(around)], -1)
    rays = rays.reshape(-1, 3)
    t, _ = cast(pose[:3, 3], rays @ pose[:3, :3].T, boxes)
    near = t < 110.0
    points = (rays[near] * t[near, None]).astype(np.float32)
    return LidarPoints(points, np.ones(len(points), np.float32))


def make_set(root: Path, plain: bool = False) -> Path:
    for split, names in SCENARIOS.items():
        for scenario in range(len(names)):
            for agent in range(len(AGENTS)):
                for frame in range(len(FRAMES)):
                    make_car(root, (split, scenario, agent, frame), plain)
    return root


def copied(source: Path, target: Path) -> Path:
    """A copy by hard links; whoever changes a file must replace it."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def replace_bytes(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def edit_yaml(root: Path, change, pattern: str = "*/*/*/*.yaml") -> None:
    for path in sorted(root.glob(pattern)):
        document = yaml.load(path.read_text(), yaml.CSafeLoader)
        change(document)
        replace_bytes(path, yaml.dump(document, Dumper=yaml.CSafeDumper).encode())


def cameras_in(document: dict) -> list[str]:
    return [key for key in document if re.fullmatch(r"camera\d", key)]


def exchange(root: Path, first: str, second: str, ending: str, pattern: str = "*/*/*") -> None:
    """Give each other's names to the files of two cameras."""
    for path in sorted(root.glob(f"{pattern}/*_{first}{ending}")):
        swap_files(path, path.with_name(path.name.replace(first, second)))


def swap_files(path: Path, other: Path) -> None:
    aside = path.with_suffix(".aside")
    path.rename(aside)
    other.rename(path)
    aside.rename(other)


def edit_images(root: Path, change) -> None:
    for path in sorted(root.glob("*/*/*/*_camera?.png")):
        edit_image(path, change)


def edit_image(path: Path, change) -> None:
    _, data = cv2.imencode(".png", np.ascontiguousarray(change(cv2.imread(str(path)))))
    replace_bytes(path, data.tobytes())


def edit_depths(root: Path, change) -> None:
    for path in sorted(root.glob("*/*/*/*_depth.npy")):
        depth = change(np.load(path)).astype(np.float32)
        path.unlink()
        np.save(path, depth)


def edit_points(root: Path, change, pattern: str = "*/*/*") -> None:
    for path in sorted(root.glob(f"{pattern}/*.pcd")):
        cloud = read_pcd(path)
        path.unlink()
        write_pcd(path, LidarPoints(change(cloud.points).astype(np.float32), cloud.intensity))
