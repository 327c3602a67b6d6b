"""How good a model's answer about one moment is, and which part of it to mend first.

Limits are relative (multicar.md F1, F2): to the mask that is right, to what calibration promises,
and to the best constant pose of the training split on these very cars. The notes this grew from
used absolute ones, which hold for one rig, one crop and one loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gimbal_multicar.clouds.moment import Prediction
from gimbal_multicar.judging.measuring import measure
from gimbal_multicar.judging.points import Thinning
from gimbal_multicar.judging.poses import PoseErrors, absolute_errors
from gimbal_multicar.judging.readings import DEAD_MASK, MOST_OF_IT, Reading, readings

Numbers = dict[str, Any]

CLEARLY = 0.8
"""Poses beat a constant clearly where their RMSE is below this share of the constant's."""


def answer_numbers(prediction: Prediction) -> Numbers:
    """Return every number of a model's answer, as plain values.

    Returns:
        What `judging.measuring.measure` returns, so that a picture's numbers are an evaluation's;
        `pose_rmse` of the partners in metres, `pose_rmse_deg`, and `mean_pose_rmse` of the best
        constant on the same partners; `pred_mask_mean`, `gt_mask_mean` and `expected_coverage`;
        `readings` and `verdict`; the `checkpoint`.
    """
    sample = prediction.sample
    true = sample.truth.main_from_car[1:]
    errors = absolute_errors(sample.prediction.main_from_car[1:], true)
    rival = None if prediction.mean_pose is None else prediction.mean_pose[1:]
    numbers: Numbers = {
        **measure(sample, Thinning()),
        "pose_rmse": _rms(errors.trans_m),
        "pose_rmse_deg": _rms(errors.rot_deg),
        "mean_pose_rmse": None if rival is None else _rms(absolute_errors(rival, true).trans_m),
        "expected_coverage": prediction.expected_coverage,
    }
    numbers |= {name: numbers["mask"][name] for name in ("pred_mask_mean", "gt_mask_mean")}
    found = moment_readings(numbers)
    return {
        **numbers,
        "readings": [asdict(one) for one in found],
        "verdict": verdict(numbers),
        "checkpoint": dict(prediction.checkpoint),
    }


def car_errors(prediction: Prediction) -> PoseErrors:
    """Return the errors of all cars' poses, the main one's first."""
    sample = prediction.sample
    return absolute_errors(sample.prediction.main_from_car, sample.truth.main_from_car)


def moment_readings(numbers: Mapping[str, Any]) -> list[Reading]:
    """Return what the numbers of one moment say, in the order in which to mend things."""
    clouds = {
        f"chamfer_{placement}_m": part["chamfer_m"] for placement, part in numbers["points"].items()
    }
    scale = {f"scale_{name}": numbers["scale"][name] for name in ("ratio", "abs_log")}
    masks = {name: numbers[name] for name in ("pred_mask_mean", "gt_mask_mean")}
    return [*_poses(numbers), *readings({**masks, **clouds, **scale})]


def verdict(numbers: Mapping[str, Any]) -> str:
    """Return in one sentence what is wrong first: the mask, the poses, or the ranges."""
    mine, rival = numbers["pose_rmse"], numbers["mean_pose_rmse"]
    if numbers["pred_mask_mean"] < DEAD_MASK * numbers["expected_coverage"]:
        return "the mask is dead: look at the mask's loss before anything else"
    if rival is None or mine is None:
        return (
            "there is no constant pose to compare with: the run's rows are gone, or its training "
            "split has no partners"
        )
    share = f"their error is {mine / max(rival, 1e-9):.0%} of a constant pose's"
    if mine < CLEARLY * rival:
        return f"the poses tell something: {share}"
    if _poses_explain(numbers):
        return f"the poses are the problem: {share}, and true poses mend most of the cloud"
    return f"poses and ranges are both off ({share}): train longer, look at the training curves"


def lines_of(numbers: Mapping[str, Any], cars: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a model's answer as a person reads it."""
    depth, checkpoint = numbers["range"]["absrel"], numbers["checkpoint"]
    said = [
        f"car {car['agent_id']:<8} predicted {car['predicted']['error_m']:.2f} m and "
        f"{car['predicted']['error_deg']:.2f} deg off"
        for car in cars
        if not car["is_main"]
    ]
    return [
        *said,
        f"poses        {_poses_line(numbers)}",
        "ranges       no truth" if depth is None else f"ranges       off by {depth:.1%} on average",
        f"mask         mean {numbers['pred_mask_mean']:.3f}, true {numbers['gt_mask_mean']:.3f}, "
        f"calibration promises {numbers['expected_coverage']:.3f}",
        f"checkpoint   step {checkpoint['step']}, sha256 {checkpoint['sha256'][:12]}",
        f"verdict      {numbers['verdict']}",
    ]


def _poses_line(numbers: Mapping[str, Any]) -> str:
    mine, rival = numbers["pose_rmse"], numbers["mean_pose_rmse"]
    if mine is None:
        return "no partner"
    beside = "" if rival is None else f", a constant {rival:.2f} m"
    return f"RMSE {mine:.2f} m, {numbers['pose_rmse_deg']:.2f} deg{beside}"


def _poses(numbers: Mapping[str, Any]) -> list[Reading]:
    mine, rival = numbers["pose_rmse"], numbers["mean_pose_rmse"]
    if mine is None or rival is None:
        return []
    said = f"RMSE {mine:.2f} m, the best constant pose {rival:.2f} m on these cars"
    if mine < CLEARLY * rival:
        return [Reading(name="poses", level="good", said=said)]
    return [
        Reading(
            name="poses",
            level="note" if mine < rival else "bad",
            said=said,
            next="compare with --pose-source gt --geometry pred, then look at the pose losses",
        )
    ]


def _poses_explain(numbers: Mapping[str, Any]) -> bool:
    """Whether true poses remove most of the clouds' distance."""
    mine, true = (numbers["points"][name]["chamfer_m"] for name in ("pred_pose", "gt_pose"))
    return bool(mine is not None and true is not None and true <= (1.0 - MOST_OF_IT) * mine)


def _rms(values: Any) -> float | None:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else None
