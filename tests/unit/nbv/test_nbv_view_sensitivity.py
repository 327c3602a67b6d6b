"""The view-sensitivity measurement and its gate, on reconstructions with scripted faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gimbal.errors import CannotTell
from gimbal_nbv.completion_settings import SensitivitySettings
from gimbal_nbv.diagnostics import view_sensitivity as diagnostic
from gimbal_nbv.diagnostics.finding import Verdict
from gimbal_nbv.oracle import OracleMap, Sets, Values
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.view_sensitivity import (
    FusedDepth,
    StageFinding,
    blended_gains,
    coverage_weights,
    curves,
    gate,
    rank_correlation,
    schedule,
    stage_findings,
)

Ratios = Callable[[OracleMap, Sets, Values], Values]


class Scripted:
    """A reconstruction whose candidates do what the script says; it counts how often it is asked.

    Args:
        ratios: From the object, sets [B,K] and coverage gains [B,M] to RRI [B,M].
    """

    def __init__(self, ratios: Ratios) -> None:
        self.ratios = ratios
        self.asked = 0

    def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
        views = np.array([len(np.unique(s[s >= 0])) for s in sets])
        return np.where(views <= 3, 1.0 / views, 1.0 / 3 + 0.01 * views)

    def chamfer_ratios(self, oracle: OracleMap, sets: Sets) -> Values:
        self.asked += len(sets)
        return self.ratios(oracle, sets, oracle.gains(sets))


def saturating(oracle: OracleMap, sets: Sets, gains: Values) -> Values:
    """Right up to two views, then every view does harm."""
    late = ((sets >= 0).sum(axis=1) > 2)[:, None]
    return np.where(late, -gains - 0.01, gains + 0.01)


def batches(oracle: OracleMap) -> list[States]:
    return [sample_states(oracle, 20, np.random.default_rng(n), longest=4) for n in range(2)]


def finding(worsening: float, spearman: float, views: int = 1) -> StageFinding:
    return StageFinding(views=views, states=9, worsening=worsening, spearman=spearman)


def test_fused_completeness_never_gets_worse(mug_oracle: OracleMap) -> None:
    """More points are never farther; that holds for every order of views."""
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(mug_oracle.views).astype(np.int32)
        sets = np.where(np.tri(len(order), dtype=bool), order, -1).astype(np.int32)
        assert (np.diff(mug_oracle.completeness(sets)) <= 0).all()


@pytest.mark.parametrize("name", ["farthest", "random"])
def test_fusion_improves_with_every_view_and_not_by_the_same_one(
    mug_oracle: OracleMap, name: str
) -> None:
    found = curves(FusedDepth(), [mug_oracle, mug_oracle], name, 5)
    assert found.chamfer.shape == found.repeated.shape == (2, 5)
    assert found.worsening == 0
    assert 0 <= found.mean_repeat <= found.largest_repeat < 0.01
    assert found.repeated[0, 0] == pytest.approx(0, abs=1e-9), "one view twice is that view"


def test_a_reconstruction_that_worsens_is_caught_where_it_does(mug_oracle: OracleMap) -> None:
    found = curves(Scripted(saturating), [mug_oracle], "random", 5)
    assert found.worsening == 2 / 4
    findings = stage_findings(Scripted(saturating), batches(mug_oracle))
    assert [one.views for one in findings] == [1, 2, 3, 4]
    assert sum(one.states for one in findings) == 40
    gates = gate(findings, SensitivitySettings(blend=0.25))
    assert [one.passed for one in gates] == [True, True, False, False]
    assert coverage_weights(gates, 6) == (0.25, 0.25, 1.0, 1.0, 1.0, 1.0)


def test_a_reconstruction_that_asks_for_other_views_is_caught(mug_oracle: OracleMap) -> None:
    """It never gets worse, but what it likes best covers least."""
    contrary = Scripted(lambda oracle, sets, gains: 1.0 - gains)
    findings = stage_findings(contrary, batches(mug_oracle))
    assert all(one.worsening == 0 and one.spearman < -0.9 for one in findings)
    assert not any(one.passed for one in gate(findings, SensitivitySettings()))


@pytest.mark.parametrize(
    ("worsening", "spearman", "passes"),
    [
        (0.15, 0.3, True),
        (0.16, 0.3, False),
        (0.15, 0.29, False),
        (0.0, math.nan, False),
    ],
)
def test_the_gate_is_where_its_settings_say(
    worsening: float, spearman: float, passes: bool
) -> None:
    (one,) = gate([finding(worsening, spearman)], SensitivitySettings())
    assert one.passed is passes
    assert (one.coverage_weight == 1) is not passes


def test_a_constant_reconstruction_has_no_ranking(mug_oracle: OracleMap) -> None:
    assert math.isnan(rank_correlation(np.ones(4), np.arange(4.0)))
    constant = Scripted(lambda oracle, sets, gains: np.zeros_like(gains))
    findings = stage_findings(constant, batches(mug_oracle))
    assert all(math.isnan(one.spearman) for one in findings)
    assert not any(one.passed for one in gate(findings, SensitivitySettings()))


def test_the_farthest_schedule_takes_the_antipode_first(mug_oracle: OracleMap) -> None:
    directions = mug_oracle.protocol.directions
    order = schedule(mug_oracle, "farthest", 5, np.random.default_rng(0))
    assert len(set(order.tolist())) == 5
    assert order[1] == (directions @ directions[order[0]]).argmin()


def test_blending_follows_lambda_and_costs_nothing_where_it_is_one(
    mug_oracle: OracleMap,
) -> None:
    states = States(mug_oracle, np.array([[0, -1], [0, 5]], dtype=np.int32))
    gains = mug_oracle.gains(states.sets)
    learned = Scripted(lambda oracle, sets, gains: np.full_like(gains, 0.5))
    mixed = blended_gains(states, learned, (0.25,))
    assert learned.asked == 1, "the second state's stage has no lambda, so it takes coverage"
    open_ = ~states.used
    np.testing.assert_allclose(mixed[1], gains[1])
    np.testing.assert_allclose(mixed[0][open_[0]], (0.25 * gains[0] + 0.375)[open_[0]])
    assert not mixed[states.used].any(), "a view already taken is worth nothing"
    blended_gains(states, learned, (1.0, 1.0))
    assert learned.asked == 1


def bench(oracle: OracleMap) -> Any:
    """A run with one object and no completion net."""
    return SimpleNamespace(
        config=SimpleNamespace(
            evaluate=SimpleNamespace(budget=5), states=SimpleNamespace(longest=4)
        ),
        inputs={},
        seed=0,
        protocol=oracle.protocol,
        objects=lambda: iter([SimpleNamespace(oracle=oracle)]),
    )


def test_the_diagnostic_passes_fusion_and_says_what_it_could_not_check(
    mug_oracle: OracleMap,
) -> None:
    found = diagnostic.measure(bench(mug_oracle), lambda done, total, what: None)
    assert found.verdict is Verdict.PASS
    assert [c.verdict for c in found.checks].count(Verdict.NOT_CHECKABLE) == 1
    assert len(found.numbers["fusion"]["curves"]["farthest"]["chamfer_e3"]) == 5
    assert found.numbers["fusion"]["stages"][0]["views"] == 1


def test_as_many_views_are_measured_as_states_can_come_to(mug_oracle: OracleMap) -> None:
    """A target after six views must not go unmeasured because rollouts are short."""
    run = bench(mug_oracle)
    run.config.states.longest = 6
    found = diagnostic.measure(run, lambda done, total, what: None)
    assert len(found.numbers["fusion"]["curves"]["farthest"]["chamfer_e3"]) == 7


def test_a_run_without_held_out_objects_cannot_tell(mug_oracle: OracleMap) -> None:
    run = bench(mug_oracle)
    run.objects = lambda: iter([])
    with pytest.raises(CannotTell, match="holds no object out"):
        diagnostic.measure(run, lambda done, total, what: None)


def test_the_diagnostic_fails_a_reconstruction_that_worsens(
    mug_oracle: OracleMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = {"fusion": FusedDepth(), "completion": Scripted(saturating)}
    monkeypatch.setattr(diagnostic, "reconstructions_of", lambda *_: scripted)
    found = diagnostic.measure(bench(mug_oracle), lambda done, total, what: None)
    assert found.verdict is Verdict.FAIL
    failed = {check.name for check in found.checks if check.verdict is Verdict.FAIL}
    assert failed == {
        "completion, farthest: share of added views that make it worse",
        "completion, random: share of added views that make it worse",
    }
    assert found.numbers["completion"]["lambdas"] == [0.5, 0.5, 1.0, 1.0]


def test_the_diagnostic_fails_a_view_that_counts_twice(
    mug_oracle: OracleMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(Scripted):
        def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
            return np.asarray(1.0 / (sets >= 0).sum(axis=1))

    scripted = {"completion": Counting(saturating)}
    monkeypatch.setattr(diagnostic, "reconstructions_of", lambda *_: scripted)
    found = diagnostic.measure(bench(mug_oracle), lambda done, total, what: None)
    failed = [check.name for check in found.checks if check.verdict is Verdict.FAIL]
    assert failed == ["completion: mean relative change by a view taken twice"]
