"""The variance report: on losses whose swing and gap are known, and on a real object."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics import variance_report
from gimbal_nbv.diagnostics.finding import Verdict
from gimbal_nbv.diagnostics.variance_report import TwoPlays
from gimbal_nbv.oracle import OracleMap


def plays(swing: float, gap: float, count: int = 400) -> TwoPlays:
    """A loss whose best swings by `swing` over first views and whose antipode is `gap` above it."""
    best = 10 + swing * np.random.default_rng(1).standard_normal(count)
    best = 10 + (best - best.mean()) / best.std() * swing
    return TwoPlays(best=best, antipode=best + gap, candidates=best[:, None] + [[0.0, gap]])


def test_a_gap_of_half_a_swing_needs_sixteen_samples() -> None:
    spread = variance_report.spread_of([plays(swing=1.0, gap=0.5)])
    assert spread.relative == pytest.approx(0.1)
    assert spread.gap_in_noise == pytest.approx(0.5)
    assert spread.samples == pytest.approx(16.0)
    assert spread.samples_fifth == pytest.approx(400.0)


@pytest.mark.parametrize(("batch", "verdict"), [(15, Verdict.FAIL), (16, Verdict.PASS)])
def test_a_batch_is_held_against_what_the_loss_needs(batch: int, verdict: Verdict) -> None:
    losses = dict.fromkeys(variance_report.LABELS, plays(swing=1.0, gap=0.5 + 1e-9))
    diagnosis = variance_report.diagnose([losses], ["one"], batch=batch, trained="cd")
    assert diagnosis.verdict is verdict


def test_the_hint_names_the_loss_that_was_measured_to_need_least() -> None:
    """Normalising can make it worse, so nothing is advised unmeasured."""
    losses = dict.fromkeys(variance_report.LABELS, plays(swing=1.0, gap=0.1 + 1e-9))
    losses["cd"] = plays(swing=1.0, gap=0.5 + 1e-9)
    (check,) = variance_report.diagnose([losses], ["one"], batch=2, trained="cd_ratio").checks
    assert "raise train.global_batch to 400" in check.hint
    assert "descend the CD, which needs 16 samples" in check.hint
    assert "objective.normalise: none" in check.hint
    (best,) = variance_report.diagnose([losses], ["one"], batch=2, trained="cd").checks
    assert best.verdict is Verdict.FAIL and "no other loss" in best.hint


def test_a_fixed_first_view_has_no_luck_to_judge() -> None:
    losses = dict.fromkeys(variance_report.LABELS, plays(swing=1.0, gap=0.5))
    found = variance_report.diagnose([losses], ["one"], batch=2, trained="cd", fixed=3)
    assert found.verdict is Verdict.NOT_CHECKABLE and "view 3" in found.answer


def test_an_antipode_that_is_the_best_leaves_no_gap_to_see() -> None:
    losses = dict.fromkeys(variance_report.LABELS, plays(swing=1.0, gap=0.0))
    diagnosis = variance_report.diagnose([losses], ["one"], batch=10**6, trained="cd")
    assert diagnosis.verdict is Verdict.FAIL


def test_objects_of_other_sizes_count_where_a_batch_mixes_them() -> None:
    near, far = plays(1.0, 0.5), plays(1.0, 0.5)
    far = TwoPlays(best=far.best + 50, antipode=far.antipode + 50, candidates=far.candidates)
    spread = variance_report.spread_of([near, far])
    assert spread.samples == pytest.approx(16.0)
    assert spread.samples_mixed == pytest.approx(4 * (1 + 25**2) / 0.25, rel=1e-3)


def test_regrets_are_zero_at_the_best_and_at_most_one(mug_oracle: OracleMap) -> None:
    found = variance_report.two_plays(mug_oracle)
    for name in ("regret_chamfer", "regret_coverage"):
        regret = found[name]  # type: ignore[index]
        assert np.allclose(regret.best, 0.0)
        assert np.nanmax(regret.candidates) == pytest.approx(1.0)
    assert (found["cd"].antipode >= found["cd"].best).all()
    sets = np.array([[4]], dtype=np.int32)
    best = min(
        float(mug_oracle.chamfer(np.array([[4, v]], np.int32))[0]) for v in range(16) if v != 4
    )
    assert found["cd"].best[4] == pytest.approx(best, rel=1e-5)
    assert found["cd_ratio"].best[4] == pytest.approx(best / mug_oracle.chamfer(sets)[0], rel=1e-5)


def test_the_judged_loss_is_the_one_the_objective_descends() -> None:
    config = NbvConfig.model_validate(
        {"workload": "nbv", "experiment": "e", "train": {"steps": 1, "global_batch": 1}}
    )
    assert variance_report.trained_loss(config) == "regret_coverage"
    detached = config.objective.model_copy(update={"name": "detached_cd", "normalise": "none"})
    raw = config.model_copy(update={"objective": detached})
    assert variance_report.trained_loss(raw) == "cd"
