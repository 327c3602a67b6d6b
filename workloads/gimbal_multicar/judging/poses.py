"""Errors of cars' poses: each against the main car, each pair against each other.

Poses are taken as predicted, in the main car's frame and in metres; nothing is aligned.
Directions are told unfolded as well as folded at 90 degrees: folding, usual for two views, hides a
car that is placed in front instead of behind. A car that is said to stand where the main car
stands, or nowhere, is given the largest error there is: it is left out of no share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.lie import rotation_angle
from gimbal_vision.poses import relative_pose

Doubles = np.ndarray[Any, np.dtype[np.float64]]

BUCKETS_M = (0.0, 15.0, 30.0, 60.0, 100.0, float("inf"))
AUC_DEG = (5, 10, 30)
ACCURACY_DEG = (5, 10, 15, 30)
_NO_DISTANCE_M = 1e-6
"""Cars nearer than this to each other have no direction."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PoseErrors:
    """Errors of poses against the main car's frame, one number a car.

    Attributes:
        trans_m: [K] distance of the place from the true one; NaN where a pose is not finite.
        rot_deg: [K] geodesic angle; NaN likewise.
        distance_m: [K] true distance from the main car.
    """

    trans_m: Doubles
    rot_deg: Doubles
    distance_m: Doubles


@dataclass(frozen=True, eq=False, kw_only=True)
class PairErrors:
    """Errors of relative poses, one number for each pair of cars i < j.

    Attributes:
        trans_m: [P] distance between the relative translations; NaN where one is not finite.
        direction_deg: [P] angle between them, 0 to 180; NaN where the true cars coincide, 180 where
            only the predicted ones do or are nowhere.
        folded_deg: [P] the same with opposite directions taken for one, 0 to 90.
        rot_deg: [P] geodesic angle between the relative rotations; NaN where one is not finite.
        distance_m: [P] true distance of the two cars.
    """

    trans_m: Doubles
    direction_deg: Doubles
    folded_deg: Doubles
    rot_deg: Doubles
    distance_m: Doubles

    def worst_deg(self, *, folded: bool) -> Doubles:
        """Return [P] the larger one of the errors of direction and rotation.

        The rotation's alone where the true cars coincide; 180 where it is not finite.
        """
        direction = self.folded_deg if folded else self.direction_deg
        rotation = np.where(np.isfinite(self.rot_deg), self.rot_deg, 180.0)
        return np.where(np.isnan(direction), rotation, np.maximum(direction, rotation))


def absolute_errors(predicted: Doubles, true: Doubles) -> PoseErrors:
    """Compare poses one by one.

    Args:
        predicted: [K, 4, 4] car to main car, metres; one that is not finite has no errors.
        true: [K, 4, 4] likewise.
    """
    there = np.asarray(np.isfinite(predicted).all(axis=(-2, -1)))
    said = np.where(there[:, None, None], predicted, true)
    offset = said[:, :3, 3] - true[:, :3, 3]
    angle = rotation_angle(said[:, :3, :3], true[:, :3, :3])
    return PoseErrors(
        trans_m=np.where(there, np.linalg.norm(offset, axis=-1), np.nan),
        rot_deg=np.where(there, np.degrees(np.asarray(angle)), np.nan),
        distance_m=np.linalg.norm(true[:, :3, 3], axis=-1),
    )


def pair_errors(predicted: Doubles, true: Doubles) -> PairErrors:
    """Compare each pair's relative pose; no frame of reference takes part.

    Args:
        predicted: [N, 4, 4] car to any common frame, metres.
        true: [N, 4, 4] likewise.
    """
    i, j = np.triu_indices(len(true), k=1)
    found = np.asarray(relative_pose(predicted[i], predicted[j]), np.float64)
    known = np.asarray(relative_pose(true[i], true[j]), np.float64)
    errors = absolute_errors(found, known)
    direction = angle_deg(found[:, :3, 3], known[:, :3, 3])
    folded = np.minimum(direction, 180.0 - direction)
    nowhere = ~has_direction(found[:, :3, 3]) & ~np.isnan(direction)
    return PairErrors(
        trans_m=errors.trans_m,
        direction_deg=direction,
        folded_deg=np.where(nowhere, 90.0, folded),
        rot_deg=errors.rot_deg,
        distance_m=errors.distance_m,
    )


def angle_deg(predicted: Doubles, true: Doubles) -> Doubles:
    """Return the angles [...] in degrees between vectors [..., 3], 0 to 180.

    NaN where the true one is zero: there is no direction to find. 180 where it is not, and the
    predicted one is zero or not finite: no answer is the worst answer. By the arc tangent, which
    tells tiny angles from zero where the arc cosine cannot.
    """
    said = has_direction(predicted)
    found = np.where(said[..., None], predicted, 0.0)
    cross = np.linalg.norm(np.cross(found, true), axis=-1)
    angle = np.degrees(np.arctan2(cross, (found * true).sum(axis=-1)))
    return np.where(has_direction(true), np.where(said, angle, 180.0), np.nan)


def has_direction(vectors: Doubles) -> Any:
    """Return [...] whether vectors [..., 3] are finite and not zero."""
    finite = np.isfinite(vectors).all(axis=-1)
    return finite & (np.linalg.norm(vectors, axis=-1) > _NO_DISTANCE_M)


def area_under_curve(errors_deg: Doubles, limit_deg: int) -> float | None:
    """Return the mean over t = 1 .. limit degrees of the share of errors below t.

    The accuracy curve in steps of one degree (multicar.md A10); none without errors.
    """
    if not errors_deg.size:
        return None
    counts, _ = np.histogram(errors_deg, bins=np.arange(limit_deg + 1))
    return float(counts.cumsum().mean() / errors_deg.size)


def share_below(errors_deg: Doubles, limit_deg: float) -> float | None:
    """Return the share of errors below a limit; an error that is not a number is not below."""
    return float((errors_deg < limit_deg).mean()) if errors_deg.size else None


def pair_scores(pairs: Sequence[PairErrors]) -> dict[str, Any]:
    """Return RRA, RTA and AUC over all pairs of all samples, by threshold in degrees."""
    rotation = _joined([p.rot_deg for p in pairs])
    direction = _joined([p.direction_deg for p in pairs])
    worst = {
        folded: _joined([p.worst_deg(folded=folded) for p in pairs]) for folded in (False, True)
    }
    folded_direction = _joined([p.folded_deg for p in pairs])
    return {
        "rra": {str(t): share_below(rotation, t) for t in ACCURACY_DEG},
        "rta": {str(t): share_below(direction, t) for t in ACCURACY_DEG},
        "rta_folded": {str(t): share_below(folded_direction, t) for t in ACCURACY_DEG},
        "auc": {str(t): area_under_curve(worst[False], t) for t in AUC_DEG},
        "auc_folded": {str(t): area_under_curve(worst[True], t) for t in AUC_DEG},
    }


def spread(values: Doubles) -> dict[str, float | int | None]:
    """Return mean, median and 90th percentile of errors, and how many there are and are not."""
    known = values[np.isfinite(values)]
    counts = {"count": int(known.size), "missing": int(values.size - known.size)}
    if not known.size:
        return {**counts, "mean": None, "median": None, "p90": None}
    return {
        **counts,
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "p90": float(np.percentile(known, 90)),
    }


def by_bucket(distance_m: Doubles, columns: Mapping[str, Doubles]) -> list[dict[str, Any]]:
    """Return the spread of each column in each bucket of distance that holds anything.

    Args:
        distance_m: [K] true distances.
        columns: [K] errors by name.
    """
    place = np.digitize(distance_m, BUCKETS_M) - 1
    return [
        {
            "from_m": BUCKETS_M[bucket],
            "to_m": BUCKETS_M[bucket + 1] if np.isfinite(BUCKETS_M[bucket + 1]) else None,
            **{name: spread(values[place == bucket]) for name, values in columns.items()},
        }
        for bucket in range(len(BUCKETS_M) - 1)
        if (place == bucket).any()
    ]


def by_number(cars: Any, columns: Mapping[str, Doubles]) -> list[dict[str, Any]]:
    """Return the spread of each column for each number of cars.

    Args:
        cars: [K] number of cars of the sample each error is of.
        columns: [K] errors by name.
    """
    counts = np.asarray(cars)
    return [
        {"cars": int(n), **{name: spread(v[counts == n]) for name, v in columns.items()}}
        for n in np.unique(counts)
    ]


def _joined(parts: Sequence[Doubles]) -> Doubles:
    return np.concatenate(parts) if parts else np.empty(0)
