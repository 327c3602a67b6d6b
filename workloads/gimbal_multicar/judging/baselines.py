"""The poses that need no pictures: a constant for each car, fitted on the training split alone.

Which constant is decided on the training split too, each scenario predicted by the others, so that
the baseline is the best of its kind and still has never seen what it is judged on. Views are
ordered nearest first, so a car's place in the order tells of its distance, and a model may know
that without looking; hence the variants by place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gimbal_multicar.judging.poses import absolute_errors
from gimbal_vision.poses import make_pose

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Centre = Literal["mean", "median"]
Grouping = Literal["all", "by_cars", "by_cars_and_place"]
Variant = tuple[Centre, Grouping]

CENTRES: tuple[Centre, ...] = ("mean", "median")
GROUPINGS: tuple[Grouping, ...] = ("all", "by_cars", "by_cars_and_place")
_STEPS = 500
_STILL_M = 1e-7


@dataclass(frozen=True, eq=False, kw_only=True)
class Partners:
    """Poses of partners, the main cars left out: one row a car.

    Attributes:
        main_from_car: [K, 4, 4] metres.
        cars: [K] cars of the sample it belongs to.
        place: [K] 1 for the nearest partner, 2 for the next.
        scenario: [K] where it is from.
    """

    main_from_car: Doubles
    cars: Ints
    place: Ints
    scenario: np.ndarray[Any, np.dtype[np.str_]]

    def __len__(self) -> int:
        return len(self.cars)

    def __getitem__(self, rows: Any) -> Partners:
        """Return some rows."""
        return Partners(
            main_from_car=self.main_from_car[rows],
            cars=self.cars[rows],
            place=self.place[rows],
            scenario=self.scenario[rows],
        )


def partners_of(poses: Sequence[Doubles], scenarios: Sequence[str]) -> Partners:
    """Return the partners of samples.

    Args:
        poses: [N, 4, 4] of each sample, the main car's first.
        scenarios: Where each sample is from.
    """
    sizes = np.array([len(one) for one in poses], np.int64)
    return Partners(
        main_from_car=np.concatenate([np.empty((0, 4, 4)), *(one[1:] for one in poses)]),
        cars=np.repeat(sizes, sizes - 1),
        place=np.concatenate([np.empty(0, np.int64), *(np.arange(1, n) for n in sizes)]),
        scenario=np.repeat(np.asarray(scenarios, dtype=str), sizes - 1),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstantPose:
    """One pose for each group of cars.

    Attributes:
        variant: Which centre, and which cars share one.
        poses: [4, 4] by group; the group () is of all cars and stands in for unknown ones.
    """

    variant: Variant
    poses: dict[tuple[int, ...], Doubles]

    def predict(self, partners: Partners) -> Doubles:
        """Return [K, 4, 4] poses; of the given ones only number and place are read."""
        keys = _keys(partners, self.variant[1])
        found = [self.poses.get(key, self.poses[()]) for key in keys]
        return np.stack(found) if found else np.empty((0, 4, 4))


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedBaselines:
    """All variants, and which is the best on the training split.

    Attributes:
        best: The variant with the least error of translation on the training split.
        best_turn: The variant with the least error of rotation there; it is the rival of rotations.
        train_m: Mean translation error of each on the training split, in metres.
        train_deg: Mean rotation error likewise.
        across_scenarios: Whether these predict each scenario by the others; with a single one they
            are the errors of the fit.
        fitted: Every variant, fitted on the whole training split.
    """

    best: Variant
    best_turn: Variant
    train_m: dict[Variant, float]
    train_deg: dict[Variant, float]
    across_scenarios: bool
    fitted: dict[Variant, ConstantPose]


def fit_baselines(train: Partners) -> FittedBaselines | None:
    """Fit every variant on partners of the training split, and choose among them there.

    Returns:
        The variants; none where the training split has no partner.
    """
    if not len(train):
        return None
    variants = [(centre, grouping) for centre in CENTRES for grouping in GROUPINGS]
    names = np.unique(train.scenario)
    folds = [train.scenario == name for name in names] if len(names) > 1 else []
    errors = {v: _error_across(train, v, folds) for v in variants}
    return FittedBaselines(
        best=min(variants, key=lambda v: errors[v][0]),
        best_turn=min(variants, key=lambda v: errors[v][1]),
        train_m={v: error[0] for v, error in errors.items()},
        train_deg={v: error[1] for v, error in errors.items()},
        across_scenarios=bool(folds),
        fitted={v: fit_constant(train, v) for v in variants},
    )


def fit_constant(train: Partners, variant: Variant) -> ConstantPose:
    """Fit one variant."""
    centre, grouping = variant
    keys = _keys(train, grouping)
    groups: dict[tuple[int, ...], list[int]] = {(): list(range(len(train)))}
    for row, key in enumerate(keys):
        if key:
            groups.setdefault(key, []).append(row)
    return ConstantPose(
        variant=variant,
        poses={
            key: _centre_pose(train.main_from_car[rows], centre) for key, rows in groups.items()
        },
    )


def geometric_median(points: Doubles) -> Doubles:
    """Return the point [3] with the least mean distance to points [P, 3].

    Weiszfeld's iteration with Vardi and Zhang's step (2000), which leaves a data point that is not
    the median; Newton's step instead where it is the better one, for Weiszfeld's creeps. Both
    creep towards a data point, so the one nearest to the end is tried too.
    """
    centre = points.mean(axis=0)
    for _ in range(_STEPS):
        steps = _steps_towards_median(points - centre)
        if not len(steps):
            break
        ends = centre + steps
        best = int(_mean_distance(points, ends).argmin()) if len(ends) > 1 else 0
        centre = ends[best]
        if float(np.linalg.norm(steps[best])) < _STILL_M:
            break
    nearest = points[np.linalg.norm(points - centre, axis=1).argmin()]
    ends = np.stack([centre, nearest])
    return np.asarray(ends[_mean_distance(points, ends).argmin()])


def _steps_towards_median(offset: Doubles) -> Doubles:
    """Return [S, 3] Weiszfeld's step and, away from all points, Newton's; none at the median.

    With unit vectors u and distances d to the points, the gradient of the sum of distances is
    -sum(u), and its Hessian sum((I - u u^T) / d).
    """
    distance = np.sqrt(np.einsum("pi,pi->p", offset, offset))
    away = distance > _STILL_M
    weight = 1.0 / distance[away]
    unit = offset[away] * weight[:, None]
    pull, here = unit.sum(axis=0), float((~away).sum())
    strength = float(np.linalg.norm(pull))
    if strength <= here:
        return np.empty((0, 3))
    plain = (1.0 - here / strength) * pull / weight.sum()
    if here:
        return np.asarray(plain[None])
    bend = weight.sum() * np.eye(3) - (unit * weight[:, None]).T @ unit
    return np.stack([plain, np.linalg.lstsq(bend, pull)[0]])


def _mean_distance(points: Doubles, ends: Doubles) -> Doubles:
    """Return [S] the mean distance of points [P, 3] from each of [S, 3]."""
    return np.asarray([np.linalg.norm(points - end, axis=1).mean() for end in ends])


def chordal_mean(rotations: Doubles) -> Doubles:
    """Return the rotation [3, 3] closest to [P, 3, 3] in squared chordal distance."""
    U, _, Vt = np.linalg.svd(rotations.mean(axis=0))
    return np.asarray(U * [1.0, 1.0, np.sign(np.linalg.det(U @ Vt))] @ Vt)


def name_of(variant: Variant) -> str:
    """Return a variant's name, such as `median_by_cars`."""
    return f"{variant[0]}_{variant[1]}"


def _centre_pose(poses: Doubles, centre: Centre) -> Doubles:
    middle: Callable[[Doubles], Doubles] = (
        geometric_median if centre == "median" else lambda points: points.mean(axis=0)
    )
    return np.asarray(make_pose(chordal_mean(poses[:, :3, :3]), middle(poses[:, :3, 3])))


def _keys(partners: Partners, grouping: Grouping) -> list[tuple[int, ...]]:
    columns = {
        "all": [],
        "by_cars": [partners.cars],
        "by_cars_and_place": [partners.cars, partners.place],
    }
    if not columns[grouping]:
        return [()] * len(partners)
    return [tuple(int(number) for number in row) for row in zip(*columns[grouping], strict=True)]


def _error_across(train: Partners, variant: Variant, folds: Sequence[Any]) -> tuple[float, float]:
    """Return the mean errors of translation and rotation, each fold predicted by the others."""
    parts = [_errors(fit_constant(train[~fold], variant), train[fold]) for fold in folds] or [
        _errors(fit_constant(train, variant), train)
    ]
    metres, degrees = (np.concatenate(part) for part in zip(*parts, strict=True))
    return float(metres.mean()), float(degrees.mean())


def _errors(constant: ConstantPose, partners: Partners) -> tuple[Doubles, Doubles]:
    errors = absolute_errors(constant.predict(partners), partners.main_from_car)
    return errors.trans_m, errors.rot_deg
