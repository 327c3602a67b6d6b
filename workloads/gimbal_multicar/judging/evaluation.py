"""From samples to a whole evaluation, ready for `evaluation.json` and `samples.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.experiment.samples import SampleMetric
from gimbal_multicar.judging.baselines import FittedBaselines
from gimbal_multicar.judging.contract import contract_of
from gimbal_multicar.judging.headline import headline
from gimbal_multicar.judging.intervals import Drawing
from gimbal_multicar.judging.measuring import MISSING
from gimbal_multicar.judging.pose_evaluation import (
    PartnerErrors,
    PoseSet,
    partner_errors,
    pose_evaluation,
)
from gimbal_multicar.judging.readings import readings
from gimbal_multicar.judging.scene_evaluation import scene_evaluation

Record = Mapping[str, Any]


def evaluate(
    records: Sequence[Record],
    sets: Sequence[PoseSet],
    baselines: FittedBaselines | None,
    drawing: Drawing,
) -> dict[str, Any]:
    """Return every number of an evaluation as plain values.

    Args:
        records: Of all samples, see `measuring.measure`.
        sets: Their poses, in the same order.
        baselines: Fitted on the training split; none where it has no partner.
        drawing: How scenarios are drawn for intervals.

    Returns:
        `headline`, `contract`, `poses`, `scenes`, `readings` and `per_sample`, the records with
        every method's errors of poses.
    """
    poses = pose_evaluation(sets, baselines, drawing)
    scenes = scene_evaluation(records, drawing)
    numbers = headline(poses, scenes) | {
        "samples": len(records),
        "scenarios": len({record["scenario"] for record in records}),
        "finite_share": float(np.mean([record["finite_share"] for record in records])),
        **answered(records),
        "partners": sum(len(record["pose"]["trans_m"]) for record in records),
    }
    errors = partner_errors(sets, baselines)
    return {
        "headline": numbers,
        "contract": contract_of([one.frame for one in sets]),
        "poses": poses,
        "scenes": scenes,
        "readings": [one.to_dict() for one in readings(numbers)],
        "per_sample": [
            {**record, "rivals": _of_sample(errors, index)} for index, record in enumerate(records)
        ],
    }


def answered(records: Sequence[Record]) -> dict[str, Any]:
    """Return `answered_share`, of samples that lack nothing, and how many lack what."""
    lacking = {f"missing_{name}": sum(name in r["missing"] for r in records) for name in MISSING}
    return {
        "answered_share": float(np.mean([not record["missing"] for record in records])),
        **lacking,
    }


def sample_metrics(per_sample: Sequence[Record]) -> dict[str, SampleMetric]:
    """Return the numbers by sample that `gimbal compare` pairs, poses first.

    Poses are sums over a sample's partners over their number, so that every car counts once, as in
    the headline. A sample without an answer is left out, as the file's format wants it.
    """
    asked = [record for record in per_sample if record["pose"]["trans_m"]]
    shown = [record for record in asked if "poses" not in record["missing"]]
    cars = {r["sample"]: float(len(r["pose"]["trans_m"])) for r in shown}

    def of_poses(name: str, unit: str) -> SampleMetric:
        sums = {r["sample"]: float(np.sum(r["pose"][name])) for r in shown}
        return SampleMetric(better="lower", unit=unit, values=sums, over=cars)

    def of_scenes(better: str, unit: str, *path: str) -> SampleMetric:
        found = {r["sample"]: _at(r, path) for r in per_sample}
        values = {name: value for name, value in found.items() if value is not None}
        return SampleMetric.model_validate({"better": better, "unit": unit, "values": values})

    metrics = {
        "pose_trans_m": of_poses("trans_m", "m"),
        "pose_rot_deg": of_poses("rot_deg", "deg"),
        "depth_rel": of_scenes("lower", "", "range", "absrel"),
        "scale_abs_log": of_scenes("lower", "", "scale", "abs_log"),
        "mask_iou": of_scenes("higher", "", "mask", "iou"),
        "chamfer_pred_pose_m": of_scenes("lower", "m", "points", "pred_pose", "chamfer_m"),
        "chamfer_gt_pose_m": of_scenes("lower", "m", "points", "gt_pose", "chamfer_m"),
    }
    return {name: metric for name, metric in metrics.items() if metric.values}


def _of_sample(errors: PartnerErrors, index: int) -> dict[str, Any]:
    mine = errors.sample == index
    return {
        name: {
            "trans_m": _plain(values[mine]),
            "rot_deg": _plain(errors.rot_deg[name][mine]),
        }
        for name, values in errors.trans_m.items()
        if name != "ours"
    }


def _plain(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _at(record: Record, path: Sequence[str]) -> float | None:
    node: Any = record
    for part in path:
        node = node[part]
    return None if node is None else float(node)
