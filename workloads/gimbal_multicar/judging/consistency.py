"""Do the cars agree on the vehicles around them?

A vehicle's box as a partner reports it, put into the main car's frame by the *predicted* pose, must
fall where the true pose puts it, and predicted points must lie in the boxes that true points lie
in. This needs no range to be right, or no pose, so it tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_multicar.clouds.boxes import points_in
from gimbal_multicar.judging.poses import angle_deg
from gimbal_vision.poses import transform_points

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Boxes = Mapping[str, Floats]
"""[8, 3] corners by vehicle."""


def boxes_in_main(boxes_car: Sequence[Boxes], main_from_car: Doubles) -> dict[str, Doubles]:
    """Return corners in the main car's frame, as the first car that lists a vehicle says.

    Args:
        boxes_car: Each car's boxes in its own frame.
        main_from_car: [N, 4, 4] true poses.
    """
    found: dict[str, Doubles] = {}
    for boxes, pose in zip(boxes_car, main_from_car, strict=True):
        for name, corners in boxes.items():
            placed = np.asarray(transform_points(pose, np.asarray(corners, np.float64)))
            found.setdefault(name, placed)
    return found


def reprojected_boxes(
    boxes_car: Sequence[Boxes], predicted: Doubles, true: Doubles
) -> dict[str, float | int | None]:
    """Return how far partners' boxes land from where they are.

    Args:
        boxes_car: Each car's boxes in its own frame, the main car's first.
        predicted: [N, 4, 4] predicted poses, car to main car.
        true: [N, 4, 4] true poses.

    Returns:
        `boxes`, how many partners report; `corner_m`, the mean distance of corners;
        `direction_deg`, the mean angle at the main car between a box's centre and where it should
        be.
    """
    pairs = [
        (corners, predicted[car], true[car])
        for car, boxes in enumerate(boxes_car)
        for corners in boxes.values()
        if car > 0
    ]
    if not pairs:
        return {"boxes": 0, "corner_m": None, "direction_deg": None}
    corners, found, known = (np.stack(part).astype(np.float64) for part in zip(*pairs, strict=True))
    placed = np.asarray(transform_points(found, corners))
    right = np.asarray(transform_points(known, corners))
    angles = angle_deg(placed.mean(axis=1), right.mean(axis=1))
    seen = np.isfinite(angles)
    return {
        "boxes": len(pairs),
        "corner_m": float(np.linalg.norm(placed - right, axis=-1).mean()),
        "direction_deg": float(angles[seen].mean()) if seen.any() else None,
    }


def points_in_boxes(points: Floats, true_points: Floats, boxes: Boxes) -> dict[str, Any]:
    """Return how well predicted points fill the vehicles that true points show.

    Args:
        points: [P, 3] predicted, main car's frame, metres.
        true_points: [Q, 3] true, likewise.
        boxes: Corners in that frame.

    Returns:
        `boxes` that hold true points; `hit`, the share of them that hold predicted ones; `points`
        in them, and `points_ratio` to the true points in them; shares are null without boxes.
    """
    known = points_in(true_points, boxes)
    shown = {name: corners for (name, corners), n in zip(boxes.items(), known, strict=True) if n}
    if not shown:
        return {"boxes": 0, "hit": None, "points": 0, "points_ratio": None}
    found = points_in(points[np.isfinite(points).all(axis=-1)], shown)
    return {
        "boxes": len(shown),
        "hit": float((found > 0).mean()),
        "points": int(found.sum()),
        "points_ratio": float(found.sum() / known.sum()),
    }
