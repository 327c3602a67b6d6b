"""What the page draws, as plain values: points packed as bytes, boxes and poses as lines."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal.pages.markup import plot_text
from gimbal_multicar.clouds.boxes import EDGES, boxes_main
from gimbal_multicar.clouds.moment import Car, Gathered
from gimbal_multicar.clouds.verdict import car_errors
from gimbal_multicar.clouds.views import displayed, space_of, viewpoints
from gimbal_multicar.report.bev import CAR_COLOURS

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_ARROW_M, _WING_M = 6.0, 1.2


def cloud_data(gathered: Gathered, max_points: int) -> dict[str, Any]:
    """Return what `cloud.js` reads.

    Args:
        gathered: The moment.
        max_points: Of all cars together; beyond it each car keeps the same share.
    """
    cars = gathered.cars
    kept = thinned([len(car.points_main) for car in cars], max_points)
    places = [displayed(car.points_main[rows]) for car, rows in zip(cars, kept, strict=True)]
    boxes = [displayed(corners) for corners in boxes_main(cars).values()]
    poses = [displayed(car.main_from_car[:3, 3])[None] for car in cars]
    answers = _answers(gathered)
    stands = [np.array([one["true"], one["said"]]) for one in answers]
    space = space_of(np.concatenate([*places, *boxes, *poses, *stands]))
    return {
        "cars": [
            {
                "name": _name(car, number),
                "colour": CAR_COLOURS[number % len(CAR_COLOURS)],
                "xyz": _packed(points.astype("<f4")),
                "rgb": _packed(car.colours[rows]),
                "pose": _lines(_arrow(car)),
                "place": np.round(poses[number][0], 3).tolist(),
            }
            for number, (car, points, rows) in enumerate(zip(cars, places, kept, strict=True))
        ],
        "boxes": _box_lines(gathered),
        "answers": answers,
        "heights": _heights(places),
        "scene": space.scene(),
        "views": {
            key: {"name": view.name, "camera": space.camera(view)}
            for key, view in viewpoints(cars).items()
        },
        "shown": sum(len(rows) for rows in kept),
        "points": sum(len(car.points_main) for car in cars),
    }


def _answers(gathered: Gathered) -> list[dict[str, Any]]:
    """Return where each car is, where a model says it is, and how far off that is."""
    if gathered.prediction is None:
        return []
    errors = car_errors(gathered.prediction)
    pairs = zip(gathered.cars, errors.trans_m, errors.rot_deg, strict=True)
    return [
        {
            "true": _place(car.true_main_from_car),
            "said": _place(car.said.main_from_car),
            "text": f"{metres:.2f} m, {degrees:.1f} deg off",
        }
        for car, metres, degrees in pairs
        if car.said is not None
    ]


def _place(pose: Floats) -> list[float]:
    place: list[float] = np.round(displayed(pose[:3, 3]), 3).tolist()
    return place


def thinned(counts: Sequence[int], most: int) -> list[Ints]:
    """Return which points of each car are kept: the same share of each, the same every time."""
    share = min(1.0, most / max(1, sum(counts)))
    random = np.random.default_rng(0)
    return [np.sort(random.choice(count, int(count * share), replace=False)) for count in counts]


def _heights(places: Sequence[Floats]) -> list[float]:
    """Return the heights between which colours are spread: few points lie beyond."""
    up = np.concatenate(places)[:, 2]
    return np.round(np.quantile(up, (0.02, 0.98)), 2).tolist() if len(up) else [0.0, 1.0]


def _name(car: Car, number: int) -> str:
    return plot_text(f"car {car.agent}" + ("" if number else " (main)"))


def _arrow(car: Car) -> list[Floats]:
    """Return an arrow from the panorama's centre ahead, and a tick to the car's right and up."""
    axes = car.main_from_car[:3, :3]
    here = car.main_from_car[:3, 3]
    right, down, ahead = axes.T
    tip = here + _ARROW_M * ahead
    back = tip - _WING_M * ahead
    lines = [
        np.stack([here, tip]),
        np.stack([back - 0.6 * right, tip, back + 0.6 * right]),
        np.stack([here, here + 2.0 * right]),
        np.stack([here, here - 2.0 * down]),
    ]
    return [displayed(line) for line in lines]


def _box_lines(gathered: Gathered) -> dict[str, Any]:
    lines: list[Floats] = []
    text: list[str] = []
    for name, corners in boxes_main(gathered.cars).items():
        shown = displayed(corners)
        lines += [shown[list(edge)] for edge in EDGES]
        text += [plot_text(name)] * (3 * len(EDGES))
    return {**_lines(lines), "text": text}


def _lines(lines: Sequence[Floats]) -> dict[str, list[float | None]]:
    """Return x, y and z of lines, each followed by a gap."""
    found: dict[str, list[float | None]] = {"x": [], "y": [], "z": []}
    for line in lines:
        for axis, values in zip("xyz", line.T, strict=True):
            found[axis] += [*np.round(values, 3).tolist(), None]
    return found


def _packed(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
