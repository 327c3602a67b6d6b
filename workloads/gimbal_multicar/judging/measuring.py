"""All numbers of one sample, as plain values.

Everything that needs a sample's pixels happens here, so that an evaluation holds one sample's
pixels at a time, and aggregates hold none.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from gimbal_multicar.judging.alignment import trajectory
from gimbal_multicar.judging.consistency import (
    boxes_in_main,
    points_in_boxes,
    reprojected_boxes,
)
from gimbal_multicar.judging.masks import mask_errors
from gimbal_multicar.judging.points import Thinning, cloud_errors, point_map_errors
from gimbal_multicar.judging.poses import absolute_errors
from gimbal_multicar.judging.ranges import range_errors, range_errors_by_band, ray_errors
from gimbal_multicar.judging.samples import JudgedSample, finite_share, placed
from gimbal_multicar.judging.scale import scale_errors

Doubles = np.ndarray[Any, np.dtype[np.float64]]
PLACEMENTS = ("pred_pose", "gt_pose")


def measure(sample: JudgedSample, thinning: Thinning) -> dict[str, Any]:
    """Return every number of one sample but those that compare samples.

    Args:
        sample: Truth and prediction.
        thinning: Of the clouds that are compared.

    Returns:
        `pose`, `trajectory`, `scale`, `range`, `rays`, `mask`, `boxes`, and `points` under
        `pred_pose` and `gt_pose`: the predicted points where the predicted and where the true
        poses put them.
    """
    truth, said = sample.truth, sample.prediction
    true_main = placed(truth.points_view, truth.main_from_view)
    pred_main = placed(said.points_view, said.main_from_view)
    spots = said.main_from_car[:, :3, 3], truth.main_from_car[:, :3, 3]
    return {
        "sample": sample.frame.sample_id,
        **sample.frame.to_dict(),
        "cars": sample.frame.cars,
        "pose": pose_numbers(said.main_from_car, truth.main_from_car),
        "trajectory": asdict(trajectory(*spots)),
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


def pose_numbers(predicted: Doubles, true: Doubles) -> dict[str, Any]:
    """Return the partners' errors, one number a car, and the main car's own pose's distance."""
    errors = absolute_errors(predicted, true)
    return {
        "trans_m": errors.trans_m[1:].tolist(),
        "rot_deg": errors.rot_deg[1:].tolist(),
        "main_trans_m": float(errors.trans_m[0]),
        "main_rot_deg": float(errors.rot_deg[0]),
    }


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
