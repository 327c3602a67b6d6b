"""Vehicles' boxes of a moment in the main car's frame, and which points lie in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_multicar.clouds.moment import Car

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

MARGIN_M = 0.2
EDGES = tuple((a, a | bit) for bit in (4, 2, 1) for a in range(8) if not a & bit)
"""Pairs of corners: signs of (x, y, z) count up in binary, see `VehicleBox.corners_world`."""


def boxes_main(cars: Sequence[Car]) -> Mapping[str, Floats]:
    """Return [8, 3] corners by vehicle, as the first car that lists a vehicle reports it.

    Boxes stand at the cars' true poses whatever poses are shown: they are what points are held
    against.
    """
    found: dict[str, Floats] = {}
    for car in cars:
        names = car.row["box_ids"].split(",") if car.row["box_ids"] else []
        pose = car.true_main_from_car
        corners = np.asarray(car.row["boxes_car"], np.float64) @ pose[:3, :3].T + pose[:3, 3]
        for name, one in zip(names, corners, strict=True):
            found.setdefault(name, one)
    return found


def points_in(points: Floats, boxes: Mapping[str, Floats]) -> Counts:
    """Return [V] how many points lie within `MARGIN_M` of each box."""
    return np.array([_inside(points, corners) for corners in boxes.values()], np.int64)


def _inside(points: Floats, corners: Floats) -> int:
    centre = corners.mean(axis=0)
    reach = float(np.linalg.norm(corners[7] - centre)) + MARGIN_M
    near = points[(np.abs(points - centre) <= reach).all(axis=1)] - centre
    edges = corners[[4, 2, 1]] - corners[0]
    lengths = np.linalg.norm(edges, axis=1)
    along = np.abs(near @ (edges / lengths[:, None]).T)
    return int(np.count_nonzero((along <= lengths / 2 + MARGIN_M).all(axis=1)))
