"""All numbers of one sample, as plain values.

Everything that needs a sample's pixels happens here, so that an evaluation holds one sample's
pixels at a time, and aggregates hold none. A number that is not finite is null, which JSON has a
word for, and what of an answer is missing is said, so that nobody reads a mean of the rest as one
of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from gimbal_multicar.judging.alignment import Trajectory, trajectory
from gimbal_multicar.judging.consistency import (
    boxes_in_main,
    points_in_boxes,
    reprojected_boxes,
)
from gimbal_multicar.judging.masks import mask_errors
from gimbal_multicar.judging.points import Thinning, cloud_errors, point_map_errors
from gimbal_multicar.judging.poses import absolute_errors
from gimbal_multicar.judging.ranges import range_errors, range_errors_by_band, ray_errors
from gimbal_multicar.judging.samples import (
    JudgedSample,
    SamplePrediction,
    finite_poses,
    finite_share,
    placed,
)
from gimbal_multicar.judging.scale import scale_errors

Doubles = np.ndarray[Any, np.dtype[np.float64]]
PLACEMENTS = ("pred_pose", "gt_pose")
MISSING = ("poses", "ranges", "clouds")
"""What an answer may have nothing of."""
_TRAJECTORY = tuple(field.name for field in fields(Trajectory))


def measure(sample: JudgedSample, thinning: Thinning) -> dict[str, Any]:
    """Return every number of one sample but those that compare samples.

    Args:
        sample: Truth and prediction.
        thinning: Of the clouds that are compared.

    Returns:
        `pose`, `trajectory`, `scale`, `range`, `rays`, `mask`, `boxes`, and `points` under
        `pred_pose` and `gt_pose`: the predicted points where the predicted and where the true
        poses put them; and `missing`, what an answer has nothing of: `poses`, `ranges`, `clouds`.
        Poses are all null where one is not finite.
    """
    truth, said = sample.truth, sample.prediction
    true_main = placed(truth.points_view, truth.main_from_view)
    pred_main = placed(said.points_view, said.main_from_view)
    there = finite_poses(said)
    record = {
        "sample": sample.frame.sample_id,
        **sample.frame.to_dict(),
        "cars": sample.frame.cars,
        "pose": pose_numbers(_poses(said, there=there), truth.main_from_car),
        "trajectory": _trajectory(sample) if there else dict.fromkeys(_TRAJECTORY),
        "scale": {"factor": said.scale, **scale_errors(pred_main, true_main, truth.valid)},
        "range": {
            **range_errors(said.range_m, truth.range_m, truth.valid, truth.solid_angle),
            "bands": range_errors_by_band(
                said.range_m, truth.range_m, truth.valid, truth.solid_angle, truth.rays
            ),
        },
        "rays": ray_errors(said.rays, truth.rays, truth.solid_angle),
        "mask": mask_errors(said.mask_logits, truth.non_ambiguous, truth.valid),
        "points": _points(sample, pred_main, true_main, thinning),
        "boxes": reprojected_boxes(truth.boxes_car, said.main_from_car, truth.main_from_car),
        "finite_share": finite_share(said),
    }
    plain: dict[str, Any] = finite_or_null(record)
    return plain | {"missing": _missing(plain, there=there)}


def pose_numbers(predicted: Doubles, true: Doubles) -> dict[str, Any]:
    """Return the partners' errors, one number a car, and the main car's own pose's distance.

    Null for a pose that is not finite.
    """
    errors = absolute_errors(predicted, true)
    numbers: dict[str, Any] = finite_or_null(
        {
            "trans_m": errors.trans_m[1:].tolist(),
            "rot_deg": errors.rot_deg[1:].tolist(),
            "main_trans_m": float(errors.trans_m[0]),
            "main_rot_deg": float(errors.rot_deg[0]),
        }
    )
    return numbers


def finite_or_null(value: Any) -> Any:
    """Return plain values with null for every number that is not finite."""
    if isinstance(value, dict):
        return {name: finite_or_null(part) for name, part in value.items()}
    if isinstance(value, list):
        return [finite_or_null(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _poses(said: SamplePrediction, *, there: bool) -> Doubles:
    return said.main_from_car if there else np.full_like(said.main_from_car, np.nan)


def _trajectory(sample: JudgedSample) -> dict[str, Any]:
    poses = sample.prediction.main_from_car, sample.truth.main_from_car
    return asdict(trajectory(*(pose[:, :3, 3].astype(np.float64) for pose in poses)))


def _missing(record: Mapping[str, Any], *, there: bool) -> list[str]:
    """Return what the answer has nothing of, where the truth has something."""
    ranges = record["range"]
    lacking = {
        "poses": not there,
        "ranges": bool(ranges["bands"]) and ranges["absrel"] is None,
        "clouds": any(
            part["true_points"] and not part["predicted_points"]
            for part in record["points"].values()
        ),
    }
    return [name for name in MISSING if lacking[name]]


def _points(
    sample: JudgedSample, pred_main: Any, true_main: Any, thinning: Thinning
) -> dict[str, Any]:
    truth, said = sample.truth, sample.prediction
    boxes = boxes_in_main(truth.boxes_car, truth.main_from_car) if truth.boxes_car else {}
    shown = said.mask_logits > 0
    known = true_main[truth.valid]
    gt_main = placed(said.points_view, truth.main_from_view)
    return {
        name: {
            **point_map_errors(points, true_main, truth.valid, truth.solid_angle),
            **cloud_errors(points[shown], known, thinning),
            "in_boxes": points_in_boxes(points[shown], known, boxes),
        }
        for name, points in zip(PLACEMENTS, (pred_main, gt_main), strict=True)
    }
