"""`render --pose-source pred`: a model's poses and ranges, apart and together, beside the truth.

Answers are made up with errors chosen here, so every number has a known value.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answer_support import CHECKPOINT, made_answer

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal_multicar.clouds.folder import write_moment
from gimbal_multicar.clouds.gathering import gather_stage
from gimbal_multicar.clouds.measuring import lines_of, summary_of
from gimbal_multicar.clouds.moment import Gathered
from gimbal_multicar.clouds.predicted import with_prediction
from gimbal_multicar.clouds.traces import cloud_data
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.cooperation import CoopRule
from gimbal_multicar.error_drawing import FARTHER, NEARER, RIGHT, UNKNOWN, error_picture
from gimbal_multicar.errors import AnswerError
from gimbal_multicar.stages.panoramas import panoramas_stage

DATA = DataSettings(
    panorama=PanoramaSettings(width=84, height=14),
    synthetic=SyntheticSettings(scenarios=1, agents=3, frames=1),
)
PLACEMENTS = [("pred", "pred"), ("gt", "pred"), ("pred", "gt")]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    folder = tmp_path_factory.mktemp("panoramas")
    write_stage(panoramas_stage(DATA, seed=1), {}, folder, execute=run_here)
    return gather_stage(folder, ("train", 0), CoopRule(max_distance_m=200), {"commit": "abc"})


def answered(
    truth: Gathered, pose: Any = "pred", geometry: Any = "pred", **errors: Any
) -> Gathered:
    return with_prediction(truth, made_answer(truth, **errors), pose=pose, geometry=geometry)


@pytest.mark.parametrize(("pose", "geometry"), PLACEMENTS)
def test_points_are_of_the_chosen_ranges_at_the_chosen_poses(
    truth: Gathered, pose: Any, geometry: Any
) -> None:
    shown = answered(truth, pose, geometry, ranges=1.25)
    for car, true in zip(shown.cars, truth.cars, strict=True):
        assert car.said is not None
        factor = 1.25 if geometry == "pred" else 1.0
        at = car.said.main_from_car if pose == "pred" else true.main_from_car
        known = true.view["valid_mask"]
        local = factor * true.view["pts3d_cam"][known]
        expected = local @ at[:3, :3].T + at[:3, 3]
        near = np.linalg.norm(local, axis=-1) <= 300.0
        np.testing.assert_allclose(car.points_main, expected[near], atol=2e-3)
        np.testing.assert_array_equal(car.true_main_from_car, true.main_from_car)


def test_errors_are_those_that_were_made(truth: Gathered) -> None:
    summary = summary_of(answered(truth, off_m=(3.0, 0.0, 4.0), turned_deg=6.0, ranges=1.1))
    main, *partners = summary["cars"]
    assert main["predicted"]["error_m"] == pytest.approx(0, abs=1e-9)
    for car in partners:
        assert car["predicted"]["error_m"] == pytest.approx(5.0)
        assert car["predicted"]["error_deg"] == pytest.approx(6.0)
        assert car["predicted"]["range_rel"] == pytest.approx(0.1, rel=1e-4)
    assert summary["pose_rmse"] == pytest.approx(5.0)
    distances = [car["distance_m"] for car in summary_of(truth)["cars"][1:]]
    assert summary["mean_pose_rmse"] == pytest.approx(np.sqrt(np.mean(np.square(distances))))
    assert summary["answer"]["range"]["absrel"] == pytest.approx(0.1, rel=1e-4)
    assert summary["pred_mask_mean"] == pytest.approx(summary["gt_mask_mean"], abs=0.01)
    assert summary["checkpoint"] == CHECKPOINT


def test_poses_in_the_world_are_the_data_sets(truth: Gathered) -> None:
    """M041: without an error they are the rows' own; with one, as far off as the pose is."""
    right = summary_of(answered(truth, off_m=(0.0, 0.0, 0.0), turned_deg=0.0))["cars"]
    wrong = summary_of(answered(truth, off_m=(3.0, 0.0, 4.0)))["cars"]
    for car, told, off in zip(truth.cars, right, wrong, strict=True):
        world = np.asarray(car.row["world_from_car"])
        np.testing.assert_allclose(told["predicted"]["world_from_car"], world, atol=1e-4)
        np.testing.assert_allclose(told["world_from_car"], world, atol=1e-4)
        moved = np.asarray(off["predicted"]["world_from_car"])[:3, 3] - world[:3, 3]
        assert np.linalg.norm(moved) == pytest.approx(0 if off["is_main"] else 5, abs=1e-4)


def test_the_verdict_names_what_is_wrong(truth: Gathered) -> None:
    """M083: poses are told from ranges by what true poses mend, and limits are relative."""
    cases = (
        ({"off_m": (1.0, 0.0, 0.0)}, "tell something"),
        ({"off_m": (200.0, 0.0, 0.0)}, "poses are the problem"),
        ({"off_m": (200.0, 0.0, 0.0), "ranges": 12.0}, "both off"),
        ({"mask_bias": -9.0}, "mask is dead"),
    )
    for errors, words in cases:
        summary = summary_of(answered(truth, **errors))
        assert words in summary["verdict"], (errors, summary["verdict"])
        assert f"verdict      {summary['verdict']}" in lines_of(summary)
    unmeasured = replace(made_answer(truth), mean_pose=None)
    alone = with_prediction(truth, unmeasured, pose="pred", geometry="pred")
    assert "no constant pose" in summary_of(alone)["verdict"]


def test_an_answer_that_is_not_finite_is_refused_with_the_way_out(truth: Gathered) -> None:
    with pytest.raises(AnswerError, match="not finite, at step 7") as caught:
        with_prediction(truth, made_answer(truth, ranges=np.nan), pose="pred", geometry="pred")
    assert "--checkpoint" in str(caught.value.remedy)


def test_all_four_placements_share_a_folder(truth: Gathered, tmp_path: Path) -> None:
    write_moment(truth, tmp_path, max_points=50, force=False)
    for pose, geometry in PLACEMENTS:
        write_moment(answered(truth, pose, geometry), tmp_path, max_points=50, force=False)
    summaries = {path.name for path in tmp_path.glob("*_summary.json")}
    assert summaries == {
        "train_idx0_gtpose_summary.json",
        "train_idx0_pred_summary.json",
        "train_idx0_pred_gtpose_summary.json",
        "train_idx0_predpose_summary.json",
    }
    for name in summaries:
        told = json.loads((tmp_path / name).read_text())
        assert all((tmp_path / file).is_file() for file in told["files"])
    views = tmp_path / "train_idx0_pred_views"
    agent = truth.cars[1].agent
    said = answered(truth).cars[1].said
    assert said is not None
    np.testing.assert_array_equal(np.load(views / f"{agent}_pred_pose.npy"), said.main_from_car)
    np.testing.assert_array_equal(np.load(views / f"{agent}_pred_depth.npy"), said.range_m)
    np.testing.assert_array_equal(np.load(views / f"{agent}_depth.npy"), truth.cars[1].true_range_m)
    assert {path.name for path in views.glob(f"{agent}_pred_*.png")} == {
        f"{agent}_pred_{kind}.png" for kind in ("depth", "mask", "error")
    }


def test_the_page_draws_both_places_of_a_car_and_the_way_between(truth: Gathered) -> None:
    drawn = cloud_data(answered(truth, off_m=(3.0, 0.0, 4.0)), 100)
    for number, answer in enumerate(drawn["answers"]):
        gap = np.linalg.norm(np.subtract(answer["true"], answer["said"]))
        assert gap == pytest.approx(5.0 if number else 0.0, abs=5e-3)
    assert drawn["answers"][1]["text"] == "5.00 m, 6.0 deg off"
    assert cloud_data(truth, 100)["answers"] == []
    low, high = ([drawn["scene"][f"{axis}axis"]["range"][end] for axis in "xyz"] for end in (0, 1))
    for answer in drawn["answers"]:
        assert (np.array(answer["said"]) > low).all() and (np.array(answer["said"]) < high).all()


def test_error_maps_tell_nearer_from_farther() -> None:
    true = np.array([[10.0, 10.0, 10.0, 0.0, 10.0]])
    said = np.array([[10.0, 5.0, 20.0, 7.0, 400.0]])
    expected = [RIGHT, NEARER, FARTHER, UNKNOWN, FARTHER]
    assert error_picture(said, true)[0].tolist() == [list(colour) for colour in expected]
