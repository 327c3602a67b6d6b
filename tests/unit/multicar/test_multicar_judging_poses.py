"""Errors of poses: known poses give known numbers, and nothing is folded away unseen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging_support import car_poses, pose
from scipy.spatial.transform import Rotation

from gimbal_multicar.judging.alignment import trajectory, umeyama
from gimbal_multicar.judging.poses import (
    absolute_errors,
    angle_deg,
    area_under_curve,
    by_bucket,
    by_number,
    pair_errors,
    pair_scores,
    share_below,
)

SEEDS = st.integers(0, 2**32 - 1)


def test_known_offsets_are_known_metres_and_degrees() -> None:
    true = np.stack([np.eye(4), pose([0, 0, 10]), pose([3, 0, 4], [0, 0.2, 0])])
    predicted = np.stack([np.eye(4), pose([3, 0, 14]), pose([3, 0, 4], [0, 0.5, 0])])

    errors = absolute_errors(predicted, true)

    np.testing.assert_allclose(errors.trans_m, [0, 5, 0], atol=1e-12)
    np.testing.assert_allclose(errors.rot_deg, [0, 0, np.degrees(0.3)], atol=1e-9)
    np.testing.assert_allclose(errors.distance_m, [0, 10, 5])


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_pairs_agree_with_another_library_and_with_every_frame(seed: int) -> None:
    """By rotation objects and single pairs; and a common motion of all cars changes nothing."""
    rng = np.random.default_rng(seed)
    true, predicted = car_poses(rng, 4), car_poses(rng, 4)
    found = pair_errors(predicted, true)
    row = 0
    for i in range(4):
        for j in range(i + 1, 4):
            rel, rel_true = (np.linalg.inv(p[i]) @ p[j] for p in (predicted, true))
            E = np.linalg.inv(rel) @ rel_true
            angle = Rotation.from_matrix(E[:3, :3]).magnitude()
            assert found.rot_deg[row] == pytest.approx(np.degrees(angle), abs=1e-6)
            assert found.trans_m[row] == pytest.approx(np.linalg.norm(E[:3, 3]), abs=1e-9)
            assert found.distance_m[row] == pytest.approx(np.linalg.norm(rel_true[:3, 3]))
            row += 1
    elsewhere = pose([5, -2, 1], [0.3, 1.0, -0.2]) @ predicted
    np.testing.assert_allclose(pair_errors(elsewhere, true).trans_m, found.trans_m, atol=1e-9)
    np.testing.assert_allclose(
        pair_errors(elsewhere, true).direction_deg, found.direction_deg, atol=1e-6
    )


def test_a_car_placed_behind_instead_of_in_front_shows_unfolded_only() -> None:
    true = np.stack([np.eye(4), pose([0, 0, 20])])
    flipped = np.stack([np.eye(4), pose([0, 0, -20])])

    pair = pair_errors(flipped, true)

    assert pair.direction_deg.tolist() == [180.0]
    assert pair.folded_deg.tolist() == [0.0]
    scores = pair_scores([pair])
    assert scores["rta"]["5"] == 0.0 and scores["rta_folded"]["5"] == 1.0
    assert scores["auc"]["30"] == 0.0 and scores["auc_folded"]["30"] == 1.0


def test_cars_in_one_place_have_no_direction_but_a_rotation() -> None:
    together = np.stack([np.eye(4), np.eye(4)])
    turned = np.stack([np.eye(4), pose([0, 0, 0], [0, 0.1, 0])])

    pair = pair_errors(turned, together)

    assert np.isnan(pair.direction_deg).all()
    assert pair.worst_deg(folded=False)[0] == pytest.approx(np.degrees(0.1))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_saying_nothing_never_scores_better_than_saying_anything(seed: int) -> None:
    """Poses that are not finite, or all where the main car stands, are the worst answers."""
    rng = np.random.default_rng(seed)
    true, said = car_poses(rng, 4), car_poses(rng, 4)
    said[1:, :3, 3] += 0.7 * (true[1:, :3, 3] - said[1:, :3, 3])
    gone = said.copy()
    gone[rng.permutation(3)[: rng.integers(1, 4)] + 1, 0, rng.integers(0, 4)] = np.nan
    before, after = (pair_scores([pair_errors(one, true)]) for one in (said, gone))
    for name, table in before.items():
        assert all(after[name][limit] <= share for limit, share in table.items()), name

    at_home = true.copy()
    at_home[:, :3, 3] = 0.0
    scores = pair_scores([pair_errors(at_home, true)])
    assert scores["rra"]["5"] == 1.0
    for name in ("rta", "rta_folded", "auc", "auc_folded"):
        assert set(scores[name].values()) == {0.0}, name


@settings(max_examples=30, deadline=None)
@given(
    errors=st.lists(st.floats(0, 180), min_size=1, max_size=40),
    limit=st.sampled_from([5, 10, 30]),
)
def test_area_under_curve_against_brute_force(errors: list[float], limit: int) -> None:
    """Counting, threshold by threshold; the histogram closes only its last bin."""
    curve = [
        sum(e < t or (t == limit and e == limit) for e in errors) / len(errors)
        for t in range(1, limit + 1)
    ]
    expected = sum(curve) / limit
    assert area_under_curve(np.array(errors), limit) == pytest.approx(expected, abs=1e-12)


def test_scores_of_no_errors_are_none_and_of_perfect_ones_one() -> None:
    assert area_under_curve(np.empty(0), 30) is None
    assert share_below(np.empty(0), 5) is None
    assert area_under_curve(np.zeros(3), 5) == 1.0
    assert share_below(np.array([1.0, np.nan]), 5) == 0.5


def test_tiny_angles_are_told_from_zero() -> None:
    a = np.array([[0.0, 0.0, 1.0]])
    b = np.array([[1e-7, 0.0, 1.0]])
    assert angle_deg(a, b)[0] == pytest.approx(np.degrees(1e-7), rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, scale=st.floats(0.1, 10.0))
def test_umeyama_recovers_a_similarity_exactly(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(6, 3)) * 10
    R = Rotation.random(random_state=seed).as_matrix()
    t = rng.normal(size=3) * 20
    found = umeyama(source, scale * source @ R.T + t, with_scale=True)

    np.testing.assert_allclose(found.rotation, R, atol=1e-9)
    np.testing.assert_allclose(found.translation, t, atol=1e-7)
    assert found.scale == pytest.approx(scale) and not found.degenerate


def test_umeyama_never_mirrors() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(8, 3))
    found = umeyama(source, source * [-1, 1, 1], with_scale=True)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_no_rigid_motion_nearby_does_better_than_the_alignment() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(2, 5, 3))
    aligned = umeyama(source, target, with_scale=False)(source)
    least = ((aligned - target) ** 2).sum()
    for _ in range(200):
        size = 10.0 ** rng.uniform(-4, 0.5)
        near = pose(size * rng.normal(size=3), size * rng.normal(size=3))
        tried = aligned @ near[:3, :3].T + near[:3, 3]
        assert ((tried - target) ** 2).sum() >= least


def test_trajectories_say_when_their_alignment_means_nothing() -> None:
    two = np.array([[0.0, 0, 0], [0, 0, 10]])
    in_line = np.array([[0.0, 0, 0], [0, 0, 10], [0, 0, 30]])
    plane = np.array([[0.0, 0, 0], [0, 0, 10], [5, 0, 3]])

    pair = trajectory(two * 1.5, two)
    assert pair.degenerate and pair.sim3_m is None
    assert pair.plain_m == pytest.approx(5 / np.sqrt(2)) and pair.se3_m == pytest.approx(2.5)
    line = trajectory(np.add(in_line, [3, 0, 0]), in_line)
    assert line.degenerate and line.plain_m == pytest.approx(3)
    assert line.se3_m == pytest.approx(0, abs=1e-9)
    sound = trajectory(2 * plane, plane)
    assert not sound.degenerate and sound.sim3_m == pytest.approx(0, abs=1e-9)
    assert sound.se3_m > 1


def test_buckets_hold_each_error_once_at_their_lower_edge() -> None:
    distance = np.array([0.0, 14.9, 15.0, 59.9, 60.0, 100.0, 250.0])
    rows = by_bucket(distance, {"e": np.arange(7.0)})

    assert [(row["from_m"], row["to_m"]) for row in rows] == [
        (0.0, 15.0), (15.0, 30.0), (30.0, 60.0), (60.0, 100.0), (100.0, None),
    ]  # fmt: skip
    assert [row["e"]["count"] for row in rows] == [2, 1, 1, 1, 2]
    assert rows[0]["e"]["mean"] == 0.5 and rows[-1]["e"]["median"] == 5.5


def test_numbers_of_cars_are_told_apart_and_missing_ones_left_out() -> None:
    rows = by_number([2, 3, 3], {"e": np.array([1.0, 2.0, np.nan])})
    assert [(row["cars"], row["e"]["count"], row["e"]["mean"]) for row in rows] == [
        (2, 1, 1.0),
        (3, 1, 2.0),
    ]
