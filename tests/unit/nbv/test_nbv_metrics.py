"""Metrics and the gap closed, on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from gimbal_nbv.evaluation import ScoredObject, evaluate
from gimbal_nbv.gap import difference, gap_closed
from gimbal_nbv.metrics import (
    average,
    ndcg,
    quality,
    rank_correlation,
    regret,
    score_rollout,
    views_to,
)
from gimbal_nbv.policies import FarthestPolicy, OracleCoverage
from gimbal_nbv.rollout import Rollout, roll_out


def rollout_of(views, gains, used, coverage=((0.4, 0.6, 0.95),)) -> Rollout:
    shape = np.asarray(gains, dtype=float)
    return Rollout(
        policy="toy",
        views=np.asarray(views, dtype=np.int32),
        coverage=np.asarray(coverage, dtype=float),
        chamfer=np.array([[0.04, 0.02, 0.015]]),
        scores=shape.copy(),
        gains=shape,
        used=np.asarray(used, dtype=bool),
        cpu_s=0.0,
    )


TOY = rollout_of(
    views=[[0, 1, 2]],
    gains=[[[0.0, 0.2, 0.4, 0.1], [0.0, 0.0, 0.3, 0.1]]],
    used=[[[1, 0, 0, 0], [1, 1, 0, 0]]],
)


def test_regret_is_the_share_of_the_open_range_missed():
    """First decision: .2 taken of [.1, .4]; second: the best."""
    np.testing.assert_allclose(regret(TOY), [[2 / 3, 0.0]])


def test_nothing_is_regretted_where_all_views_gain_the_same():
    flat = rollout_of([[0, 1, 2]], [[[0, 0, 0], [0, 0, 0]]], [[[1, 0, 0], [1, 1, 0]]])
    np.testing.assert_array_equal(regret(flat), [[0, 0]])


def test_scores_of_a_rollout_follow_their_definitions():
    score = score_rollout(TOY)
    assert score.auc == pytest.approx((0.4 + 0.6 + 0.95) / 3)
    assert score.rri == pytest.approx((0.5, 0.25))
    assert score.chamfer_e3 == pytest.approx((40, 20, 15))
    assert score.views_to_90 == 3
    assert score.spearman == pytest.approx(1.0)
    assert score.ndcg5 == pytest.approx(1.0)
    assert average([score, score]) == score


def test_views_to_a_target_count_from_one_and_miss_by_one_more():
    coverage = np.array([[0.95, 1.0], [0.5, 0.9], [0.5, 0.6]])
    assert views_to(coverage, 0.9).tolist() == [1, 2, 3]


def test_rank_correlation_agrees_with_scipy_over_open_candidates():
    rng = np.random.default_rng(0)
    scores, gains = rng.integers(0, 6, size=(2, 3, 20)).astype(float)
    used = rng.random((3, 20)) < 0.2
    got = rank_correlation(scores, gains, used)
    for row in range(3):
        expected = spearmanr(scores[row][~used[row]], gains[row][~used[row]]).statistic
        assert got[row] == pytest.approx(expected)
    assert rank_correlation(np.ones((1, 4)), np.arange(4.0)[None], np.zeros((1, 4), bool)) == 0


def test_ndcg_discounts_by_rank_and_ignores_used_candidates():
    gains = np.array([[0.9, 0.3, 0.2, 0.1]])
    used = np.array([[True, False, False, False]])
    reversed_ = np.array([[9.0, 1.0, 2.0, 3.0]])
    got = 0.1 + 0.2 / np.log2(3) + 0.3 / 2
    best = 0.3 + 0.2 / np.log2(3) + 0.1 / 2
    assert ndcg(reversed_, gains, used, 3)[0] == pytest.approx(got / best)
    assert ndcg(gains, np.zeros_like(gains), used, 3)[0] == 1


def test_gap_closed_is_zero_for_farthest_and_one_for_the_oracle():
    rng = np.random.default_rng(1)
    farthest = rng.uniform(0.6, 0.8, 20)
    oracle = farthest + rng.uniform(0.02, 0.08, 20)
    assert gap_closed(farthest, farthest, oracle).value == 0
    whole = gap_closed(oracle, farthest, oracle)
    assert (whole.value, whole.low, whole.high) == (1, 1, 1)
    half = gap_closed((farthest + oracle) / 2, farthest, oracle)
    assert half.value == pytest.approx(0.5)
    assert half.high - half.low < 1e-12


def test_gap_closed_is_a_ratio_of_means_not_a_mean_of_ratios():
    """An object on which the oracle gains nothing must not blow up the headline."""
    assert gap_closed([0.6, 0.71], [0.5, 0.7], [0.7, 0.7]).value == pytest.approx(0.11 / 0.2)
    assert gap_closed([0.5], [0.5], [0.5]).value == 0


def test_the_paired_bootstrap_has_the_width_of_the_normal_law():
    delta = np.random.default_rng(2).normal(0.02, 0.01, size=400)
    base = np.random.default_rng(3).uniform(0.5, 0.9, size=400)
    interval = difference(base + delta, base, draws=4000)
    half_width = 1.96 * delta.std() / np.sqrt(400)
    assert interval.value == pytest.approx(delta.mean())
    assert interval.high - interval.value == pytest.approx(half_width, rel=0.12)
    assert interval.value - interval.low == pytest.approx(half_width, rel=0.12)
    assert interval.to_dict()["ci95"] == [interval.low, interval.high]
    assert difference(base + delta, base, draws=4000) == interval


def test_no_policy_covers_more_in_one_step_than_the_oracle(mug_oracle):
    """Greedy is best at the first decision, and its regret is zero at every one."""
    first = [0, 5, 11]
    oracle = roll_out(OracleCoverage(), mug_oracle, first, 4)
    farthest = roll_out(FarthestPolicy(), mug_oracle, first, 4)
    assert np.all(oracle.coverage[:, 1] >= farthest.coverage[:, 1])
    np.testing.assert_array_equal(regret(oracle), 0)
    assert np.all(np.diff(oracle.coverage, axis=1) >= 0)
    assert oracle.views[:, 0].tolist() == first
    assert all(len(set(row)) == 4 for row in oracle.views.tolist())


def test_the_halves_of_the_chamfer_distance_add_up_and_views_only_complete(mug_oracle):
    rollout = roll_out(FarthestPolicy(), mug_oracle, [0, 5], 4)
    found = quality(mug_oracle, rollout.views)
    both = np.add(found["accuracy"], found["completeness"])
    np.testing.assert_allclose(both, score_rollout(rollout).chamfer_e3)
    assert (np.diff(found["completeness"]) <= 0).all()
    assert all(0 < share <= 1 for share in found["f_score"])
    assert found["cd_squared"][-1] < found["cd_squared"][0]


def test_an_evaluation_holds_every_number_of_the_protocol(mug_oracle):
    policies = {"farthest": FarthestPolicy(), "oracle": OracleCoverage()}
    rollouts = {name: roll_out(policy, mug_oracle, [0, 5], 4) for name, policy in policies.items()}
    rollouts |= dict.fromkeys(("policy", "blind"), rollouts["farthest"])
    scored = ScoredObject(
        object_id="mug",
        family="mug",
        source="procedural",
        chamfer_floor_e3=1.0,
        scores={name: score_rollout(rollout) for name, rollout in rollouts.items()},
        quality={name: quality(mug_oracle, rollout.views) for name, rollout in rollouts.items()},
    )
    result = evaluate([scored, scored], draws=100, seed=0)
    numbers = {"auc", "coverage", "cd", "cd_squared", "accuracy", "completeness", "f_score", "rri"}
    numbers |= {"regret", "views_to_90", "spearman", "ndcg5", "decision_ms"}
    for number in numbers:
        assert result[number].keys() == rollouts.keys(), number
    assert result["gap_closed"]["value"] == 0
    assert len(result["f_score"]["policy"]) == 4
