"""Evaluations that lack something: null and said, never NaN, never a better mean in silence."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from judging_support import car_poses, perfect

from gimbal_multicar.judging.baselines import FittedBaselines, fit_baselines, partners_of
from gimbal_multicar.judging.evaluation import evaluate, sample_metrics
from gimbal_multicar.judging.intervals import Drawing
from gimbal_multicar.judging.measuring import measure
from gimbal_multicar.judging.points import REACH_M, Thinning
from gimbal_multicar.judging.pose_evaluation import PoseSet
from gimbal_multicar.judging.samples import JudgedSample
from gimbal_multicar.judging.summary import gates_of, summary_table
from gimbal_multicar.stages.evaluating import shown_samples


def samples(cars: int = 3) -> list[JudgedSample]:
    rng = np.random.default_rng(3)
    return [perfect(rng, car_poses(rng, cars), scenario=f"t{k}") for k in range(4)]


def baselines() -> FittedBaselines | None:
    rng = np.random.default_rng(0)
    poses = [car_poses(rng, 3) for _ in range(4)]
    return fit_baselines(partners_of(poses, ["a", "a", "b", "b"]))


def judged(found: list[JudgedSample], fitted: FittedBaselines | None) -> dict[str, Any]:
    records = [measure(one, Thinning()) for one in found]
    sets = [
        PoseSet(
            frame=one.frame,
            true=one.truth.main_from_car,
            predicted=one.prediction.main_from_car,
            blind=one.truth.main_from_car,
        )
        for one in found
    ]
    result = evaluate(records, sets, fitted, Drawing(draws=50, seed=0))
    json.dumps(result, allow_nan=False)
    return result


def answering(sample: JudgedSample, **said: Any) -> JudgedSample:
    return dataclasses.replace(sample, prediction=dataclasses.replace(sample.prediction, **said))


def test_one_sample_without_poses_is_counted_said_and_fails_the_run() -> None:
    good = samples()
    nowhere = np.full_like(good[1].truth.main_from_car, np.nan)
    result = judged(
        [good[0], answering(good[1], main_from_car=nowhere, main_from_view=nowhere), *good[2:]],
        baselines(),
    )
    numbers = result["headline"]

    assert numbers["answered_share"] == 0.75 and numbers["missing_poses"] == 1
    assert numbers["pose_trans_m"] == 0.0 and numbers["auc_30"] == 0.75
    assert numbers["shuffled_m"] > 0, "answers of the others are compared all the same"
    assert result["poses"]["trans_m"]["ours"]["missing"] == 2
    assert numbers["chamfer_pred_pose_m"] == 2 * REACH_M / 4
    assert "1 of 4 samples have no finite poses" in summary_table(result)["caption"]
    (finite,) = gates_of(require_better=False)
    assert not finite.check(numbers).passed and "finite" in finite.hint
    metrics = sample_metrics(result["per_sample"])
    assert len(metrics["pose_trans_m"].values) == 3
    assert 1 not in shown_samples(result["per_sample"], 4)


def test_a_model_that_shows_nothing_has_the_worst_clouds_and_it_is_said() -> None:
    good = samples()
    dark = answering(good[0], mask_logits=np.full_like(good[0].prediction.mask_logits, -9.0))
    before, after = judged(good, baselines()), judged([dark, *good[1:]], baselines())

    numbers = after["headline"]
    assert numbers["missing_clouds"] == 1 and numbers["answered_share"] == 0.75
    assert numbers["chamfer_gt_pose_m"] == 2 * REACH_M / 4
    for name in ("f_score_gt_pose", "bev_iou_pred_pose"):
        assert numbers[name] == 0.75 * before["headline"][name]
    assert "show no points" in summary_table(after)["caption"]
    assert "MISSING" not in summary_table(before)["caption"]


def test_numbers_that_are_not_finite_are_null_wherever_they_are() -> None:
    good = samples()
    broken = np.full_like(good[0].prediction.range_m, np.nan)
    result = judged([answering(good[0], range_m=broken, scale=float("nan")), *good[1:]], None)

    numbers = result["headline"]
    assert numbers["missing_ranges"] == 1 and numbers["depth_rel"] == 0.0
    assert result["scenes"]["range"]["absrel"]["missing"] == 1
    assert result["per_sample"][0]["scale"]["factor"] is None
    assert numbers["baseline_mean_pose_m"] is None
    assert "the training split has no partner" in summary_table(result)["caption"]


def test_single_cars_have_every_key_and_the_reason() -> None:
    result = judged(samples(cars=1), None)

    numbers = result["headline"]
    assert set(numbers) == set(judged(samples(), baselines())["headline"])
    for name in ("pose_trans_m", "pose_rot_deg", "baseline_mean_pose_m", "blind_m", "auc_30"):
        assert numbers[name] is None, name
    assert numbers["depth_rel"] == 0.0 and numbers["answered_share"] == 1.0
    assert "no sample has a partner" in summary_table(result)["caption"]
    strict = {gate.name: gate for gate in gates_of(require_better=True)}
    assert not strict["over_blind"].check(numbers).passed
