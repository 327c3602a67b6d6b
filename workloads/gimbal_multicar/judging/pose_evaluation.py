"""Poses over all samples: errors, baselines and controls side by side, by distance and by cars.

Every number here has a rival that sees nothing: the best constant of the training split, the blind
control that was trained beside the model, and the model itself when it answers about another scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.judging.baselines import FittedBaselines, name_of, partners_of
from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.intervals import Drawing, Interval, mean_interval
from gimbal_multicar.judging.poses import (
    absolute_errors,
    by_bucket,
    by_number,
    pair_errors,
    pair_scores,
    spread,
)

Doubles = np.ndarray[Any, np.dtype[np.float64]]

OTHER_SCENES = 16
"""Answers about other scenes that a sample is compared with, at most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PoseSet:
    """The poses of one sample, car to main car, metres.

    Attributes:
        frame: Which sample.
        true: [N, 4, 4].
        predicted: [N, 4, 4].
        blind: [N, 4, 4] of the blind control; none: there is none.
    """

    frame: FrameId
    true: Doubles
    predicted: Doubles
    blind: Doubles | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PartnerErrors:
    """Errors of all partners of all samples, one row a car.

    Attributes:
        sample: [K] number of the sample.
        cars: [K] cars of the sample.
        distance_m: [K] true distance from the main car.
        trans_m: [K] by method: `ours`, `mean_pose`, `blind`, `shuffled`; NaN where a method has
            no answer. A method that has none at all is left out.
        rot_deg: [K] likewise.
    """

    sample: np.ndarray[Any, np.dtype[np.int64]]
    cars: np.ndarray[Any, np.dtype[np.int64]]
    distance_m: Doubles
    trans_m: Mapping[str, Doubles]
    rot_deg: Mapping[str, Doubles]


def partner_errors(sets: Sequence[PoseSet], baselines: FittedBaselines | None) -> PartnerErrors:
    """Return every method's errors on every partner."""
    sizes = np.array([len(one.true) - 1 for one in sets], np.int64)
    true = np.concatenate([np.empty((0, 4, 4)), *(one.true[1:] for one in sets)])
    methods = {"ours": _joined_errors(sets, [one.predicted for one in sets])}
    if baselines is not None:
        partners = partners_of([s.true for s in sets], _scenarios(sets))
        place, turn = (
            absolute_errors(baselines.fitted[variant].predict(partners), true)
            for variant in (baselines.best, baselines.best_turn)
        )
        methods["mean_pose"] = (place.trans_m, turn.rot_deg)
    blind = [one.blind for one in sets]
    if any(pose is not None for pose in blind):
        methods["blind"] = _joined_errors(sets, blind)
    shuffled = _shuffled_errors(sets)
    if np.isfinite(shuffled[0]).any():
        methods["shuffled"] = shuffled
    return PartnerErrors(
        sample=np.repeat(np.arange(len(sets)), sizes),
        cars=np.repeat(sizes + 1, sizes),
        distance_m=np.linalg.norm(true[:, :3, 3], axis=-1),
        trans_m={name: pair[0] for name, pair in methods.items()},
        rot_deg={name: pair[1] for name, pair in methods.items()},
    )


def pose_evaluation(
    sets: Sequence[PoseSet], baselines: FittedBaselines | None, drawing: Drawing
) -> dict[str, Any]:
    """Return everything about poses, as plain values.

    Args:
        sets: All held-out samples.
        baselines: Fitted on the training split; none where it has no partner.
        drawing: How scenarios are drawn for intervals.

    Returns:
        `trans_m` and `rot_deg` by method, `over_<rival>_m` and `over_<rival>_deg` (positive: ours
        is better), `by_distance`, `by_cars`, `pairs` and `baselines`.
    """
    errors = partner_errors(sets, baselines)
    scenarios = _scenarios(sets)
    columns = _columns(errors)
    return {
        "trans_m": _described(errors.trans_m, errors, scenarios, drawing),
        "rot_deg": _described(errors.rot_deg, errors, scenarios, drawing),
        **_differences(errors.trans_m, "m", errors, scenarios, drawing),
        **_differences(errors.rot_deg, "deg", errors, scenarios, drawing),
        "by_distance": by_bucket(errors.distance_m, columns),
        "by_cars": by_number(errors.cars, columns),
        "pairs": _pairs(sets),
        "baselines": _baseline_table(sets, baselines),
    }


def interval_of(
    values: Doubles, errors: PartnerErrors, scenarios: Sequence[str], drawing: Drawing
) -> Interval | None:
    """Return the mean of a column over partners, with its interval over scenarios."""
    known = np.isfinite(values)
    size = len(scenarios)
    sums = np.bincount(errors.sample[known], weights=values[known], minlength=size)
    counts = np.bincount(errors.sample[known], minlength=size)
    return mean_interval(sums.tolist(), counts.tolist(), scenarios, drawing)


def _described(
    methods: Mapping[str, Doubles],
    errors: PartnerErrors,
    scenarios: Sequence[str],
    drawing: Drawing,
) -> dict[str, Any]:
    described = {}
    for name, values in methods.items():
        interval = interval_of(values, errors, scenarios, drawing)
        described[name] = {
            **spread(values),
            "interval": interval.to_dict() if interval else None,
        }
    return described


def _differences(
    methods: Mapping[str, Doubles],
    unit: str,
    errors: PartnerErrors,
    scenarios: Sequence[str],
    drawing: Drawing,
) -> dict[str, Any]:
    found = {}
    for name, values in methods.items():
        if name != "ours":
            interval = interval_of(values - methods["ours"], errors, scenarios, drawing)
            found[f"over_{name}_{unit}"] = interval.to_dict() if interval else None
    return found


def _columns(errors: PartnerErrors) -> dict[str, Doubles]:
    metres = {f"{name}_m": values for name, values in errors.trans_m.items()}
    return metres | {f"{name}_deg": values for name, values in errors.rot_deg.items()}


def _pairs(sets: Sequence[PoseSet]) -> dict[str, Any]:
    found = [pair_errors(one.predicted, one.true) for one in sets if len(one.true) > 1]
    if not found:
        return {}
    columns = {
        name: np.concatenate([getattr(pair, name) for pair in found])
        for name in ("trans_m", "direction_deg", "folded_deg", "rot_deg")
    }
    distance = np.concatenate([pair.distance_m for pair in found])
    return {
        **{name: spread(values) for name, values in columns.items()},
        **pair_scores(found),
        "by_distance": by_bucket(distance, columns),
    }


def _baseline_table(sets: Sequence[PoseSet], fitted: FittedBaselines | None) -> dict[str, Any]:
    if fitted is None:
        return {"best": None, "best_turn": None, "variants": []}
    partners = partners_of([one.true for one in sets], _scenarios(sets))
    rows = []
    for variant, constant in fitted.fitted.items():
        errors = absolute_errors(constant.predict(partners), partners.main_from_car)
        rows.append(
            {
                "name": name_of(variant),
                "train_m": fitted.train_m[variant],
                "train_deg": fitted.train_deg[variant],
                "held_out_m": spread(errors.trans_m)["mean"],
                "held_out_deg": spread(errors.rot_deg)["mean"],
            }
        )
    return {
        "best": name_of(fitted.best),
        "best_turn": name_of(fitted.best_turn),
        "chosen_by": "training scenarios, each predicted by the others"
        if fitted.across_scenarios
        else "the fit's own error on the only training scenario",
        "variants": rows,
    }


def _joined_errors(
    sets: Sequence[PoseSet], poses: Sequence[Doubles | None]
) -> tuple[Doubles, Doubles]:
    """Return errors of translation and rotation of all partners; NaN where there is no pose."""
    trans, rot = [np.empty(0)], [np.empty(0)]
    for one, pose in zip(sets, poses, strict=True):
        if pose is None:
            missing = np.full(len(one.true) - 1, np.nan)
            trans.append(missing)
            rot.append(missing)
        else:
            errors = absolute_errors(pose[1:], one.true[1:])
            trans.append(errors.trans_m)
            rot.append(errors.rot_deg)
    return np.concatenate(trans), np.concatenate(rot)


def _shuffled_errors(sets: Sequence[PoseSet]) -> tuple[Doubles, Doubles]:
    """Return errors of the model's answers about other scenes with as many cars.

    Given images alone the model's answer depends on nothing else, so an answer about another scene
    is what it says when it is shown that scene's images in place of the sample's own.
    """
    trans, rot = [np.empty(0)], [np.empty(0)]
    for one in sets:
        others = [
            other.predicted
            for other in sets
            if other.frame.scenario != one.frame.scenario
            and len(other.true) == len(one.true)
            and np.isfinite(other.predicted).all()
        ]
        others = others[:: -(-len(others) // OTHER_SCENES)] if others else []
        found = [absolute_errors(pose[1:], one.true[1:]) for pose in others]
        missing = [np.full(len(one.true) - 1, np.nan)]
        trans.append(np.mean([e.trans_m for e in found] or missing, axis=0))
        rot.append(np.mean([e.rot_deg for e in found] or missing, axis=0))
    return np.concatenate(trans), np.concatenate(rot)


def _scenarios(sets: Sequence[PoseSet]) -> list[str]:
    return [one.frame.scenario for one in sets]
