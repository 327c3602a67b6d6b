"""Ranges, scale, points, masks and boxes: closed forms, and each error shows in its own number."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_support import car_poses, moved, perfect, pose

from gimbal_multicar.judging.consistency import (
    boxes_in_main,
    points_in_boxes,
    reprojected_boxes,
)
from gimbal_multicar.judging.masks import mask_errors
from gimbal_multicar.judging.measuring import measure
from gimbal_multicar.judging.points import (
    REACH_M,
    Thinning,
    bev_iou,
    cloud_errors,
    within_reach,
)
from gimbal_multicar.judging.ranges import range_errors, range_errors_by_band, ray_errors
from gimbal_multicar.judging.scale import scale_errors
from gimbal_vision.cameras import Equirectangular

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-2, 2)], np.float64)


def sample(seed: int = 0, cars: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    return perfect(rng, car_poses(rng, cars))


def test_a_perfect_prediction_has_no_error_anywhere() -> None:
    found = measure(sample(), Thinning())

    assert found["pose"]["trans_m"] == [0.0, 0.0] and found["pose"]["main_trans_m"] == 0.0
    assert found["range"]["absrel"] == 0.0 and found["range"]["delta_1.03"] == 1.0
    assert found["scale"]["ratio"] == 1.0 and found["rays"]["mean_deg"] == pytest.approx(0)
    for placement in ("pred_pose", "gt_pose"):
        points = found["points"][placement]
        assert points["chamfer_m"] == 0.0 and points["f_score"] == 1.0
        assert points["bev_iou"] == 1.0 and points["rel"] == 0.0
    assert found["finite_share"] == 1.0


def test_wrong_poses_show_with_predicted_poses_only() -> None:
    good = sample()
    offset = good.truth.main_from_car.copy()
    offset[1:, :3, 3] += [2.0, 0.0, 1.0]

    found = measure(moved(good, offset), Thinning())

    assert found["pose"]["trans_m"] == pytest.approx([np.sqrt(5)] * 2)
    assert found["points"]["pred_pose"]["chamfer_m"] > 0.05
    assert found["points"]["gt_pose"]["chamfer_m"] == 0.0
    assert found["range"]["absrel"] == 0.0


def test_wrong_ranges_show_with_both_placements_and_in_the_scale() -> None:
    good = sample()
    said = dataclasses.replace(
        good.prediction,
        points_view=1.5 * good.truth.points_view,
        range_m=1.5 * good.truth.range_m,
    )
    found = measure(dataclasses.replace(good, prediction=said), Thinning())

    assert found["range"]["absrel"] == pytest.approx(0.5)
    assert found["range"]["delta_1.25"] == 0.0
    assert found["points"]["gt_pose"]["chamfer_m"] > 0.05
    assert found["pose"]["trans_m"] == [0.0, 0.0]
    assert found["scale"]["ratio"] > 1.0


def test_numbers_that_are_not_finite_are_counted_and_do_not_stop_the_judging() -> None:
    good = sample()
    points = good.truth.points_view.copy()
    points[0, 0, 0] = np.nan
    said = dataclasses.replace(good.prediction, points_view=points)
    found = measure(dataclasses.replace(good, prediction=said), Thinning())
    assert 0 < found["finite_share"] < 1
    assert found["points"]["gt_pose"]["chamfer_m"] < 0.2, "60 m for one point of hundreds"


def test_poses_that_are_not_finite_are_null_and_the_ranges_survive() -> None:
    good = sample()
    poses = good.truth.main_from_car.copy()
    poses[1] = np.nan
    found = measure(moved(good, poses), Thinning())

    json.dumps(found, allow_nan=False)
    assert found["missing"] == ["poses"] and found["finite_share"] < 1
    assert found["pose"]["trans_m"] == [None, None] and found["pose"]["main_rot_deg"] is None
    assert set(found["trajectory"].values()) == {None}
    assert found["range"]["absrel"] == 0.0 and found["points"]["gt_pose"]["chamfer_m"] == 0.0


@pytest.mark.parametrize("range_m", [1e30, np.inf])
def test_endless_ranges_are_no_way_out_of_the_clouds(range_m: float) -> None:
    """Single precision, as a model answers: nothing may overflow on the way."""
    good = sample()
    points = (good.prediction.rays * range_m).astype(np.float32)
    ranges = np.full_like(good.truth.range_m, range_m, np.float32)
    said = dataclasses.replace(good.prediction, points_view=points, range_m=ranges)
    found = measure(dataclasses.replace(good, prediction=said), Thinning())

    json.dumps(found, allow_nan=False)
    for placement in ("pred_pose", "gt_pose"):
        assert found["points"][placement]["chamfer_m"] == 2 * REACH_M
        assert found["points"][placement]["f_score"] == 0.0
    assert "clouds" in found["missing"]
    assert (found["finite_share"] == 1.0) == bool(np.isfinite(range_m))
    assert found["scale"]["abs_log"] is None or found["scale"]["abs_log"] > 50


def test_ranges_weigh_by_solid_angle() -> None:
    true = np.array([[10.0, 10.0]])
    predicted = np.array([[11.0, 14.0]])
    errors = range_errors(predicted, true, np.array([[True, True]]), np.array([[3.0, 1.0]]))
    assert errors["absrel"] == pytest.approx((3 * 0.1 + 0.4) / 4)
    assert errors["rmse_m"] == pytest.approx(np.sqrt((3 * 1 + 16) / 4))
    assert errors["delta_1.25"] == pytest.approx(0.75) and errors["delta_1.03"] == 0.0


def test_ranges_of_nothing_are_none() -> None:
    nothing = np.zeros((2, 2), bool)
    errors = range_errors(np.ones((2, 2)), np.zeros((2, 2)), nothing, np.ones((2, 2)))
    assert set(errors.values()) == {None}
    assert range_errors_by_band(
        np.ones((2, 2)), np.zeros((2, 2)), nothing, np.ones((2, 2)), np.ones((2, 2, 3))
    ) == []  # fmt: skip


def test_bands_of_elevation_count_upwards_although_rows_go_down() -> None:
    """Only the upper half is wrong, so only bands above the horizon may say so."""
    camera = Equirectangular.from_vfov(60, 60, 60.0)
    true = np.full((60, 60), 10.0)
    predicted = true.copy()
    predicted[:30] = 20.0
    bands = range_errors_by_band(predicted, true, true > 0, camera.solid_angle(), camera.rays())
    above = {band["from_deg"]: band["absrel"] for band in bands}
    assert above[-90.0] == above[-15.0] == 0.0
    assert [above[5.0], above[15.0]] == pytest.approx([1.0, 1.0])
    assert sum(band["pixels"] for band in bands) == 3600


def test_rays_turned_by_an_angle_are_off_by_that_angle() -> None:
    camera = Equirectangular.from_vfov(14, 42, 60.0)
    level = camera.rays()[7:8]
    turned = level @ pose([0, 0, 0], [0, np.radians(2), 0])[:3, :3].T
    errors = ray_errors(turned, level, np.ones(level.shape[:-1]))
    expected = np.degrees(
        2 * np.arcsin(np.sin(np.radians(1)) * np.hypot(level[0, 0, 0], level[0, 0, 2]))
    )
    assert errors["mean_deg"] == pytest.approx(expected, rel=1e-6)


def test_scale_is_a_ratio_of_mean_distances() -> None:
    true = np.array([[3.0, 0, 4.0], [0, 0, 15.0], [99, 99, 99]])
    valid = np.array([True, True, False])
    errors = scale_errors(2 * true, true, valid)
    assert errors["true_m"] == 10.0 and errors["ratio"] == 2.0
    assert errors["abs_log"] == pytest.approx(np.log(2))
    assert scale_errors(0.5 * true, true, valid)["abs_log"] == pytest.approx(np.log(2))


def test_clouds_a_known_distance_apart() -> None:
    """Two sheets of points .3 m apart: nearest neighbours are straight across."""
    x, z = np.meshgrid(np.arange(0.2, 20), np.arange(0.2, 20))
    sheet = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], axis=-1)
    errors = cloud_errors(np.add(sheet, [0, 0.3, 0]), sheet, Thinning())
    assert errors["accuracy_m"] == pytest.approx(0.3)
    assert errors["completeness_m"] == pytest.approx(0.3)
    assert errors["chamfer_m"] == pytest.approx(0.6)
    assert errors["f_score"] == 1.0 and errors["bev_iou"] == 1.0
    assert cloud_errors(np.add(sheet, [0, 0.6, 0]), sheet, Thinning())["f_score"] == 0.0


def test_one_sided_distances_tell_what_is_missing_from_what_is_wrong() -> None:
    x = np.arange(0.0, 20.0)
    line = np.stack([x, 0 * x, 0 * x], axis=-1)
    half = cloud_errors(line[:10], line, Thinning())
    assert half["accuracy_m"] == 0.0
    assert half["completeness_m"] == pytest.approx(np.arange(1, 11).sum() / 20)


def test_crop_is_by_height_of_opencv_axes_and_by_distance_on_the_ground() -> None:
    points = np.array(
        [[0, 2.9, 0], [0, 3.1, 0], [0, -3.1, 0], [59.9, 0, 0], [43, 0, 43], [0, 0, np.inf]]
    )
    np.testing.assert_array_equal(within_reach(points), points[[0, 3]])


def test_birds_eye_overlap_against_sets_of_cells() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-60, 60, (3000, 3)) * [1, 0, 1] for _ in range(2))
    cells = [{(int(np.floor(p[0] / 0.4)), int(np.floor(p[2] / 0.4))) for p in c} for c in (a, b)]
    expected = len(cells[0] & cells[1]) / len(cells[0] | cells[1])
    assert bev_iou(a, b) == pytest.approx(expected, abs=1e-12)


def test_an_empty_answer_is_the_worst_and_an_empty_truth_asks_nothing() -> None:
    nothing = np.empty((0, 3))
    errors = cloud_errors(nothing, CUBE, Thinning())
    assert errors["chamfer_m"] == 2 * REACH_M and errors["predicted_points"] == 0
    assert errors["f_score"] == errors["bev_iou"] == 0.0 and errors["true_points"] == 8
    assert cloud_errors(CUBE, nothing, Thinning())["chamfer_m"] is None


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    lost=st.integers(1, 30),
    way=st.sampled_from([1e30, np.nan, -np.inf]),
)
def test_a_cloud_never_gains_by_losing_points(seed: int, lost: int, way: float) -> None:
    """Whichever points go nowhere, the bad ones included, no distance gets better."""
    rng = np.random.default_rng(seed)
    true, said = rng.uniform(-60, 60, (2, 30, 3)) * [1, 0.05, 1]
    said[:10] = true[:10] + 0.1
    gone = said.copy()
    gone[rng.permutation(30)[:lost]] = way
    before, after = (cloud_errors(one, true, Thinning()) for one in (said, gone))
    for name in ("accuracy_m", "completeness_m", "chamfer_m"):
        assert after[name] >= before[name] - 1e-9, name
    assert after["f_score"] <= before["f_score"] + 1e-12


def test_rays_without_a_direction_are_the_worst_rays() -> None:
    level = np.array([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
    for nothing in (0.0, np.nan):
        errors = ray_errors(nothing * level, level, np.ones((1, 2)))
        assert errors == {"mean_deg": 180.0, "median_deg": 180.0}


def test_thinning_draws_the_same_points_again() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 400, 3))
    first, again = (cloud_errors(a, b, Thinning(points=100, seed=4)) for _ in range(2))
    assert first == again
    assert first["predicted_points"] == 400


def test_masks_by_hand_and_stable_for_huge_logits() -> None:
    logits = np.array([0.0, 2.0, -2.0, 1.0])
    true = np.array([True, True, False, False])
    valid = np.array([True, False, False, False])
    found = mask_errors(logits, true, valid)
    p = 1 / (1 + np.exp(-logits))
    assert found["pred_mask_mean"] == pytest.approx(p.mean())
    assert found["bce"] == pytest.approx(-np.where(true, np.log(p), np.log(1 - p)).mean())
    assert found["pred_mask_share"] == 0.5 and found["gt_mask_mean"] == 0.5
    assert found["iou"] == pytest.approx(1 / 3)
    assert found["valid_mask_ratio"] == 0.5 and found["pred_valid_mask_ratio"] == 0.0
    huge = mask_errors(np.array([1e4, -1e4]), np.array([False, False]), np.zeros(2, bool))
    assert huge["bce"] == pytest.approx(5000) and huge["pred_mask_mean"] == 0.5
    assert huge["valid_mask_ratio"] is None


def test_boxes_of_a_partner_move_with_its_pose() -> None:
    true = np.stack([np.eye(4), pose([0, 0, 20], [0, 0.3, 0])])
    predicted = np.stack([np.eye(4), pose([3, 0, 20], [0, 0.3, 0])])
    boxes = ({"9": CUBE}, {"7": np.add(CUBE, [0, 0, 5])})

    right = reprojected_boxes(boxes, true, true)
    wrong = reprojected_boxes(boxes, predicted, true)

    assert right == {"boxes": 1, "corner_m": 0.0, "direction_deg": 0.0}
    assert wrong["corner_m"] == pytest.approx(3.0)
    centre = true[1, :3, :3] @ [0, 0, 5] + [0, 0, 20]
    shifted = np.add(centre, [3, 0, 0])
    turned = np.arctan2(shifted[0], shifted[2]) - np.arctan2(centre[0], centre[2])
    assert wrong["direction_deg"] == pytest.approx(np.degrees(turned))
    assert reprojected_boxes(boxes[:1], true[:1], true[:1])["corner_m"] is None


def test_points_in_boxes_count_only_vehicles_that_show() -> None:
    boxes = boxes_in_main(({"seen": CUBE, "hidden": np.add(CUBE, [50, 0, 0])},), np.eye(4)[None])
    true = np.array([[0.0, 0, 0], [0.5, 0, 1], [9, 9, 9]])
    found = points_in_boxes(np.array([[0.1, 0, 0]]), true, boxes)
    assert found == {"boxes": 1, "hit": 1.0, "points": 1, "points_ratio": 0.5}
    assert points_in_boxes(true, true, {})["hit"] is None
