"""Cars that live in different worlds are told by what they say of each other.

Only YAML files are needed for that; each set below is a few lines of text. Broken is a car's pose,
or its boxes, or all boxes, and the check must name what and whose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from gimbal_multicar.checking.agreement import NAME
from gimbal_multicar.checking.finding import Finding, Status
from gimbal_multicar.checking.listings import vehicles_in
from gimbal_multicar.checking.reach import NAME as REACH
from gimbal_multicar.checking.tree import scan_tree
from gimbal_multicar.checking.world_checks import judge_world

CARS = {"101": (300.0, 20.0), "102": (330.0, 24.0), "103": (318.0, 60.0)}
PARKED = {str(500 + n): (290.0 + 9.0 * n, 30.0 + 4.0 * (n % 3)) for n in range(6)}
FRAMES = ("000060", "000062", "000064")

Change = Callable[[str, str, dict], None]


def documents(cars: Mapping[str, tuple[float, float]]):
    """Yield car, frame and what its file holds; cars move, and parked vehicles do not."""
    for n, frame in enumerate(FRAMES):
        at = {car: (x + 2.0 * n, y) for car, (x, y) in cars.items()}
        for car, (x, y) in at.items():
            seen = {**PARKED, **{other: xy for other, xy in at.items() if other != car}}
            vehicles = {
                int(name): {
                    "angle": [0.0, 10.0, 0.0],
                    "center": [0.1, 0.0, 0.8],
                    "extent": [2.3, 1.0, 0.8],
                    "location": [vx, vy, 0.02],
                    "speed": 36.0 if name in at else 0,
                }
                for name, (vx, vy) in seen.items()
            }
            yield car, frame, {"lidar_pose": [x - 0.5, y, 1.9, 0, 10.0, 0], "vehicles": vehicles}


def judged(root: Path, change: Change, cars=CARS) -> dict[str, Finding]:
    for car, frame, document in documents(cars):
        change(car, frame, document)
        folder = root / "train" / "2021_08_16_22_26_54" / car
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{frame}.yaml").write_text(yaml.dump(document, Dumper=yaml.CSafeDumper))
    scan = scan_tree(root, ("train",), depth_root=None, progress=lambda *_: None)
    return {f.name: f for f in judge_world(scan, [100.0])}


def move_pose(car: str, frame: str, document: dict) -> None:
    if car == "102" and frame == "000062":
        document["lidar_pose"][0] += 15.0


def move_boxes(car: str, frame: str, document: dict) -> None:
    if car == "102":
        for vehicle in document["vehicles"].values():
            vehicle["location"][1] += 8.0


def write_boxes_relative(car: str, frame: str, document: dict) -> None:
    for vehicle in document["vehicles"].values():
        for axis in (0, 1):
            vehicle["location"][axis] -= document["lidar_pose"][axis]


def test_a_sound_world_is_found_sound(tmp_path: Path) -> None:
    found = judged(tmp_path, lambda *_: None)
    assert [f.status for f in found.values()] == [Status.OK] * 2
    assert "boxes within 0.00 m" in str(found[NAME].measured)


@pytest.mark.parametrize(
    ("change", "cars", "where", "cause"),
    [
        (move_pose, 3, "102: poses of 1 of 3 files, 14.5 m", "poses of some cars"),
        (move_pose, 2, "102: poses of 1 of 3 files, 14.5 m", "poses of some cars"),
        (move_boxes, 3, "102: boxes of 3 of 3 files, 8.0 m", "boxes of some cars"),
    ],
)
def test_who_is_contradicted_is_named(
    tmp_path: Path, change: Change, cars: int, where: str, cause: str
) -> None:
    found = judged(tmp_path, change, dict(list(CARS.items())[:cars]))[NAME]
    assert found.status is Status.FAIL
    assert len(found.where) == 1
    assert where in found.where[0]
    assert found.cause.startswith(cause)
    assert ";" not in found.cause


def test_boxes_of_another_world_are_out_of_reach(tmp_path: Path) -> None:
    both = judged(tmp_path, write_boxes_relative)
    assert both[NAME].cause == "the poses of all cars and their boxes are in different worlds"
    found = both[REACH]
    assert found.status is Status.FAIL
    assert found.count == 3
    assert "in another frame than the poses: they are written relative to the car" in found.cause


def test_a_car_alone_has_nobody_to_agree_with(tmp_path: Path) -> None:
    alone = dict(list(CARS.items())[:1])
    assert judged(tmp_path, move_pose, alone)[NAME].status is Status.CANNOT_TELL


def test_vehicles_are_read_from_text_as_a_parser_reads_them() -> None:
    for _, _, document in documents(CARS):
        text = yaml.dump(document, Dumper=yaml.CSafeDumper).encode()
        wanted = [
            [name, *v["location"][:2], v["extent"][0], v["speed"]]
            for name, v in yaml.load(text, yaml.CSafeLoader)["vehicles"].items()
        ]
        np.testing.assert_array_equal(vehicles_in(text), np.array(wanted))
    assert vehicles_in(b"lidar_pose: []\nvehicles: {}\n").shape == (0, 5)
