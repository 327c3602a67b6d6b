"""How the predicted point cloud of a sample compares with the true one.

Two kinds of number: pixel by pixel, where the true range is known, and cloud against cloud, where
the prediction is what a user would be shown: the pixels of its own mask. Axes are OpenCV's, so
height is -y.

Saying nothing is the worst answer: no distance counts for more than `REACH_M`, and a point that is
not finite, or so far that it is no surface, counts for as much. Otherwise a cloud would gain by
losing its bad points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.nearest import match
from gimbal_vision.panoramas.model import MAX_RANGE_M

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

INLIER = 1.03
REACH_M = 60.0
"""Points farther than this from the main car, along the ground, are left out; the most that a
distance between clouds counts."""
HEIGHT_M = 3.0
"""Points higher or lower than this, seen from the main car's frame, are left out."""
F_SCORE_M = 0.5
CELL_M = 0.4
"""Side of a cell of the bird's-eye view."""
NAMES = ("accuracy_m", "completeness_m", "chamfer_m", "f_score", "bev_iou")
_WORST = (REACH_M, REACH_M, 2 * REACH_M, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thinning:
    """How many points of a cloud are compared, and which.

    Attributes:
        points: At most so many, drawn without replacement.
        seed: Of the draw.
    """

    points: int = 50_000
    seed: int = 0


def point_map_errors(
    predicted: Floats, true: Floats, valid: Bools, solid_angle: Floats
) -> dict[str, float | None]:
    """Return `rel`, the mean of |X - X*| / |X*|, and `inlier_1.03`, the share of like distances.

    Args:
        predicted: [..., 3] points in the main car's frame, metres.
        true: [..., 3] likewise.
        valid: [...] where the truth is known.
        solid_angle: Steradians of each pixel, of a shape that broadcasts.
    """
    weight = np.broadcast_to(solid_angle, valid.shape)[valid].astype(np.float64)
    found, known = predicted[valid].astype(np.float64), true[valid].astype(np.float64)
    far = np.linalg.norm(known, axis=-1)
    weight = weight * (far > 0)
    if not weight.sum() > 0:
        return {"rel": None, f"inlier_{INLIER}": None}
    weight, far = weight / weight.sum(), np.where(far > 0, far, 1.0)
    reach = np.maximum(np.linalg.norm(found, axis=-1), 1e-12)
    alike = np.maximum(reach / far, far / reach) < INLIER
    return {
        "rel": float(weight @ (np.linalg.norm(found - known, axis=-1) / far)),
        f"inlier_{INLIER}": float(weight @ alike),
    }


def cloud_errors(predicted: Floats, true: Floats, thinning: Thinning) -> dict[str, float | None]:
    """Return the distances between two clouds, near the main car.

    Args:
        predicted: [P, 3] points in the main car's frame, metres.
        true: [Q, 3] likewise.
        thinning: Of the points within reach.

    Returns:
        `accuracy_m`, the mean distance from predicted points to true ones; `completeness_m`, the
        other way; `chamfer_m`, their sum; `f_score` at .5 m; `bev_iou`, the overlap of occupied
        cells of .4 m; all null where the true cloud is empty, and at their worst where only the
        predicted one is; and `predicted_points`, `true_points`, both within reach.
    """
    found, known = within_reach(predicted), within_reach(true)
    counts = {"predicted_points": float(len(found)), "true_points": float(len(known))}
    if not len(known):
        return {**dict.fromkeys(NAMES), **counts}
    if not len(found):
        return {**dict(zip(NAMES, _WORST, strict=True)), **counts}
    matched = match(_thinned(found, thinning), _thinned(known, thinning))
    away, missed = (
        np.minimum(np.linalg.norm(offsets, axis=-1), REACH_M)
        for offsets in (matched.first_offsets, matched.second_offsets)
    )
    nowhere = _nowhere(predicted)
    surface = len(found) / (len(found) + nowhere)
    accuracy = surface * float(away.mean()) + (1.0 - surface) * REACH_M
    completeness = float(missed.mean())
    precision = surface * float((away <= F_SCORE_M).mean())
    recall = float((missed <= F_SCORE_M).mean())
    f_score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    values = accuracy, completeness, accuracy + completeness, f_score, bev_iou(found, known)
    return {**dict(zip(NAMES, values, strict=True)), **counts}


def _nowhere(points: Floats) -> int:
    """Return how many points are not finite, or farther than any measured surface."""
    far = np.linalg.norm(points.astype(np.float64), axis=-1)
    return int(np.count_nonzero(~(far <= 2 * MAX_RANGE_M)))


def within_reach(points: Floats) -> Doubles:
    """Return the points [P, 3] within `REACH_M` along the ground and `HEIGHT_M` of height."""
    finite = points[np.isfinite(points).all(axis=-1)].astype(np.float64)
    x, y, z = finite.T
    near = (np.abs(x) <= REACH_M) & (np.abs(z) <= REACH_M) & (np.abs(y) <= HEIGHT_M)
    return np.asarray(finite[near & (np.hypot(x, z) <= REACH_M)])


def bev_iou(first: Doubles, second: Doubles) -> float:
    """Return the overlap of the cells that two clouds occupy, seen from above."""
    a, b = _cells(first), _cells(second)
    both = np.intersect1d(a, b, assume_unique=True).size
    return float(both / (a.size + b.size - both))


def _cells(points: Doubles) -> Any:
    across = 2 * int(np.ceil(REACH_M / CELL_M)) + 1
    column, row = (np.floor(points[:, axis] / CELL_M).astype(np.int64) for axis in (0, 2))
    return np.unique((column + across) * 2 * across + row + across)


def _thinned(points: Doubles, thinning: Thinning) -> Doubles:
    if len(points) <= thinning.points:
        return points
    rng = np.random.default_rng(thinning.seed)
    return points[rng.choice(len(points), thinning.points, replace=False, shuffle=False)]
