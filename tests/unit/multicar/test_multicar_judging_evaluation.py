"""Baselines, intervals, contract and the whole: nothing held out leaks, and intervals hold."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_support import car_poses, frame_id, moved, perfect, pose

from gimbal_multicar.judging.baselines import (
    FittedBaselines,
    Partners,
    chordal_mean,
    fit_baselines,
    geometric_median,
    name_of,
    partners_of,
)
from gimbal_multicar.judging.contract import contract_of
from gimbal_multicar.judging.evaluation import evaluate, sample_metrics
from gimbal_multicar.judging.intervals import Drawing, mean_interval
from gimbal_multicar.judging.measuring import measure
from gimbal_multicar.judging.points import Thinning
from gimbal_multicar.judging.pose_evaluation import PoseSet, partner_errors, pose_evaluation
from gimbal_multicar.judging.readings import lines_of, readings

DRAWING = Drawing(draws=400, seed=0)


@functools.cache
def fitted_elsewhere() -> FittedBaselines:
    found = fit_baselines(train_partners(np.random.default_rng(0)))
    assert found is not None
    return found


def train_partners(rng: np.random.Generator, scenarios: int = 4) -> Partners:
    poses = [car_poses(rng, 2 + k % 3) for k in range(6 * scenarios)]
    return partners_of(poses, [f"s{k % scenarios}" for k in range(6 * scenarios)])


def pose_sets(rng: np.random.Generator, error_m: float, scenarios: int = 6) -> list[PoseSet]:
    """Return sets whose predictions are off by `error_m` and whose blind control is at home."""
    sets = []
    for k in range(2 * scenarios):
        true = car_poses(rng, 2 + k % 2)
        said = true.copy()
        said[1:, 0, 3] += error_m
        frame = frame_id(true, scenario=f"t{k // 2}", frame=f"{k:06d}")
        blind = np.stack([np.eye(4)] * len(true))
        sets.append(PoseSet(frame=frame, true=true, predicted=said, blind=blind))
    return sets


def test_the_baseline_is_of_the_training_split_alone() -> None:
    """Held-out poses go in only to be predicted: other ones leave the constants as they are."""
    rng = np.random.default_rng(0)
    fitted = fit_baselines(train_partners(rng))
    assert fitted is not None
    constant = fitted.fitted[fitted.best]
    test = train_partners(rng)
    elsewhere = dataclasses.replace(test, main_from_car=100.0 + test.main_from_car)
    np.testing.assert_array_equal(constant.predict(test), constant.predict(elsewhere))


def test_means_and_medians_are_what_they_say() -> None:
    rng = np.random.default_rng(1)
    train = train_partners(rng)
    fitted = fit_baselines(train)
    assert fitted is not None
    mean = fitted.fitted[("mean", "all")].predict(train)[0]
    np.testing.assert_allclose(mean[:3, 3], train.main_from_car[:, :3, 3].mean(axis=0))
    three = fitted.fitted[("mean", "by_cars")].predict(train)[train.cars == 3][0]
    np.testing.assert_allclose(
        three[:3, 3], train.main_from_car[train.cars == 3][:, :3, 3].mean(axis=0)
    )


def test_the_best_variant_has_the_least_error_across_training_scenarios() -> None:
    fitted = fit_baselines(train_partners(np.random.default_rng(2)))
    assert fitted is not None and fitted.across_scenarios
    assert fitted.train_m[fitted.best] == min(fitted.train_m.values())
    assert fitted.train_deg[fitted.best_turn] == min(fitted.train_deg.values())
    alone = fit_baselines(train_partners(np.random.default_rng(2), scenarios=1))
    assert alone is not None and not alone.across_scenarios
    assert fit_baselines(partners_of([np.eye(4)[None]], ["s"])) is None


def test_a_number_of_cars_never_trained_on_gets_the_pose_of_all() -> None:
    rng = np.random.default_rng(3)
    fitted = fit_baselines(train_partners(rng))
    assert fitted is not None
    seven = partners_of([car_poses(rng, 7)], ["new"])
    for centre in ("mean", "median"):
        found = fitted.fitted[(centre, "by_cars_and_place")].predict(seven)  # type: ignore[index]
        expected = fitted.fitted[(centre, "all")].predict(seven)  # type: ignore[index]
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12))
def test_no_point_nearby_is_closer_than_the_geometric_median(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)) * 10
    points[: count // 2] = points[0]
    centre = geometric_median(points)

    def cost(spots: Any) -> Any:
        return np.linalg.norm(points[:, None] - spots, axis=-1).sum(axis=0)

    near = centre + rng.normal(size=(60, 3)) * 10.0 ** rng.uniform(-3, 1, (60, 1))
    assert cost(centre[None])[0] <= cost(near).min() + 1e-5
    assert cost(centre[None])[0] <= cost(points).min() + 1e-5


def test_the_mean_rotation_is_a_rotation_between() -> None:
    turns = np.stack([pose([0, 0, 0], [0, angle, 0])[:3, :3] for angle in (0.1, 0.5)])
    mean = chordal_mean(turns)
    np.testing.assert_allclose(mean, pose([0, 0, 0], [0, 0.3, 0])[:3, :3], atol=1e-12)
    opposite = chordal_mean(np.stack([np.eye(3), np.diag([-1.0, 1, -1])]))
    assert np.linalg.det(opposite) == pytest.approx(1)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Few scenarios with samples that resemble each other: a plain bootstrap would be too sure."""
    rng = np.random.default_rng(0)
    held, worlds, scenarios = 0, 200, 8
    names = np.repeat([f"s{k}" for k in range(scenarios)], 5)
    for world in range(worlds):
        values = np.repeat(rng.normal(size=scenarios), 5) + 0.3 * rng.normal(size=5 * scenarios)
        drawing = Drawing(draws=300, seed=world)
        found = mean_interval(values.tolist(), [1.0] * len(values), names.tolist(), drawing)
        assert found is not None and found.ci_low is not None and found.ci_high is not None
        held += found.ci_low <= 0.0 <= found.ci_high
    assert 0.91 <= held / worlds <= 0.99


def test_intervals_are_over_scenarios_not_over_frames() -> None:
    """The same two scenarios with a hundred times the frames tell no more than before."""
    few = mean_interval([0.0, 1.0, 2.0], [1, 1, 1], ["a", "b", "c"], DRAWING)
    many = mean_interval([0.0, 1.0, 2.0] * 100, [1] * 300, ["a", "b", "c"] * 100, DRAWING)
    assert few is not None and many is not None
    assert (few.ci_low, few.ci_high, few.scenarios) == (many.ci_low, many.ci_high, 3)


def test_one_scenario_has_a_mean_and_no_interval() -> None:
    found = mean_interval([1.0, 3.0], [1, 1], ["a", "a"], DRAWING)
    assert found is not None and found.value == 2.0
    assert found.ci_low is None and found.ci_high is None
    assert mean_interval([0.0], [0.0], ["a"], DRAWING) is None


def test_a_mean_weighs_by_counts() -> None:
    found = mean_interval([10.0, 1.0], [5, 1], ["a", "b"], DRAWING)
    assert found is not None and found.value == pytest.approx(11 / 6)


def test_positive_differences_mean_that_ours_is_better() -> None:
    rng = np.random.default_rng(5)
    baselines = fitted_elsewhere()
    found = pose_evaluation(pose_sets(rng, 1.0), baselines, DRAWING)

    ours = found["trans_m"]["ours"]["mean"]
    assert ours == pytest.approx(1.0)
    for rival in ("mean_pose", "blind", "shuffled"):
        over = found[f"over_{rival}_m"]
        assert over["value"] == pytest.approx(found["trans_m"][rival]["mean"] - ours)
        assert 0 < over["ci_low"] < over["value"] < over["ci_high"]
    worse = pose_evaluation(pose_sets(rng, 500.0), baselines, DRAWING)
    assert worse["over_mean_pose_m"]["ci_high"] < 0


def test_answers_about_other_scenes_are_never_of_the_same_scenario() -> None:
    """With one scenario there is no other scene, and no such number."""
    rng = np.random.default_rng(6)
    sets = pose_sets(rng, 0.0)
    errors = partner_errors(sets, None)
    assert errors.trans_m["ours"].max() == 0.0 and errors.trans_m["shuffled"].min() > 0.1
    assert "shuffled" not in partner_errors(sets[:2], None).trans_m


def test_a_model_that_does_not_look_gains_nothing_over_other_scenes() -> None:
    sets = [
        dataclasses.replace(one, predicted=np.stack([np.eye(4), pose([0, 0, 9])]))
        for one in pose_sets(np.random.default_rng(7), 0.0)
        if len(one.true) == 2
    ]
    found = pose_evaluation(sets, None, DRAWING)
    assert found["over_shuffled_m"]["value"] == pytest.approx(0, abs=1e-9)


def test_errors_by_distance_have_every_method_side_by_side() -> None:
    rng = np.random.default_rng(8)
    found = pose_evaluation(pose_sets(rng, 1.0), fitted_elsewhere(), DRAWING)
    names = {f"{m}_{u}" for m in ("ours", "mean_pose", "blind", "shuffled") for u in ("m", "deg")}
    for row in found["by_distance"]:
        assert names <= set(row) and row["ours_m"]["mean"] == pytest.approx(1.0)
    counts = sum(row["ours_m"]["count"] for row in found["by_distance"])
    assert counts == sum(row["ours_m"]["count"] for row in found["by_cars"]) == 18
    assert [row["name"] for row in found["baselines"]["variants"]] == [
        name_of((c, g))
        for c in ("mean", "median")
        for g in ("all", "by_cars", "by_cars_and_place")  # type: ignore[arg-type]
    ]


def test_the_contract_is_of_frames_and_not_of_their_order() -> None:
    rng = np.random.default_rng(9)
    frames = [one.frame for one in pose_sets(rng, 0.0)]
    contract = contract_of(frames)
    assert contract_of(frames[::-1])["sha256"] == contract["sha256"]
    assert contract_of(frames[1:])["sha256"] != contract["sha256"]
    other_world = dataclasses.replace(frames[0], distances_m=(1.0,) * (frames[0].cars - 1))
    assert contract_of([other_world, *frames[1:]])["sha256"] != contract["sha256"]


@functools.cache
def whole(error_m: float) -> dict[str, Any]:
    rng = np.random.default_rng(10)
    samples = []
    for one in pose_sets(rng, error_m, scenarios=3):
        named = {"scenario": one.frame.scenario, "frame": one.frame.frame}
        samples.append((moved(perfect(rng, one.true, **named), one.predicted), one))
    records = [measure(sample, Thinning()) for sample, _ in samples]
    sets = [one for _, one in samples]
    return evaluate(records, sets, fitted_elsewhere(), DRAWING)


def test_a_whole_evaluation_is_plain_and_holds_what_a_run_promises() -> None:
    result = whole(2.0)
    json.dumps(result, allow_nan=False)
    numbers = result["headline"]
    for name in (
        "pose_trans_m", "pose_rot_deg", "baseline_mean_pose_m", "blind_m", "shuffled_m",
        "depth_rel", "auc_30", "scale_ratio", "pred_mask_mean", "gt_mask_mean", "mask_gap",
        "chamfer_pred_pose_m", "chamfer_gt_pose_m", "share_of_mean_pose",
    ):  # fmt: skip
        assert isinstance(numbers[name], float), name
    assert numbers["over_mean_pose_m"]["ci_low"] > 0
    assert numbers["chamfer_gt_pose_m"] == 0 < numbers["chamfer_pred_pose_m"]
    assert any("poses are the problem" in line for line in lines_of(readings(numbers)))


def test_samples_add_up_to_the_headline() -> None:
    """What `gimbal compare` pairs is what the run reports: every car counts once."""
    result = whole(2.0)
    metrics = sample_metrics(result["per_sample"])
    pose_m = metrics["pose_trans_m"]
    assert next(iter(metrics)) == "pose_trans_m" and pose_m.over is not None
    mean = sum(pose_m.values.values()) / sum(pose_m.over.values())
    assert mean == pytest.approx(result["headline"]["pose_trans_m"])
    depth = metrics["depth_rel"].values
    assert sum(depth.values()) / len(depth) == pytest.approx(result["headline"]["depth_rel"])


def test_worse_than_a_rival_is_said_as_worse() -> None:
    over = {"value": -0.5, "ci_low": -0.6, "ci_high": -0.4, "scenarios": 9}
    (found,) = readings({"over_blind_m": over})
    assert found.level == "bad" and found.said.startswith("0.50 m worse than the blind control")
    one = {"value": 0.5, "ci_low": None, "ci_high": None, "scenarios": 1}
    assert readings({"over_blind_m": one})[0].level == "note"


def test_a_dead_mask_and_a_wrong_scale_are_said() -> None:
    said = readings(
        {"pred_mask_mean": 0.01, "gt_mask_mean": 0.8, "scale_abs_log": 0.7, "scale_ratio": 2.0}
    )
    assert [(one.name, one.level) for one in said] == [("mask", "bad"), ("scale", "note")]
    assert readings({"pred_mask_mean": 0.3, "gt_mask_mean": 0.33})[0].level == "good"
