"""A measurement that is not a number fails its diagnostic, wherever in the data it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal_nbv.completion_settings import SensitivitySettings
from gimbal_nbv.diagnostics import (
    blind_control,
    landscape,
    oracle_test,
    output_modes,
    variance_report,
    view_sensitivity,
)
from gimbal_nbv.diagnostics.blind_control import Played
from gimbal_nbv.diagnostics.finding import Diagnosis, Verdict
from gimbal_nbv.diagnostics.gradient_figures import parts_table
from gimbal_nbv.diagnostics.gradient_parts import part_checks, summarise
from gimbal_nbv.diagnostics.landscape import Shape
from gimbal_nbv.diagnostics.oracle_test import Trial
from gimbal_nbv.diagnostics.output_modes import Modes
from gimbal_nbv.diagnostics.variance_report import TwoPlays
from gimbal_nbv.diagnostics.view_sensitivity import Measured
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.view_sensitivity import Curves, FusedDepth, curves, gate, stage_findings

NAN = float("nan")


def verdicts(diagnosis: Diagnosis) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in diagnosis.checks}


# The variance report


def plays(**spoiled: slice) -> TwoPlays:
    """A loss whose gap any batch shows, with NaN at some first views of the named plays."""
    best = np.linspace(1.0, 1.1, 8)
    parts = {"best": best, "antipode": best + 1, "candidates": best[:, None] + [[0.0, 1.0]]}
    for name, where in spoiled.items():
        parts[name][where] = NAN
    return TwoPlays(**parts)


@pytest.mark.parametrize("where", [slice(0, 1), slice(7, 8), slice(None)])
@pytest.mark.parametrize("name", ["best", "antipode"])
@pytest.mark.parametrize("objects", [1, 2])
def test_a_swing_that_is_not_a_number_is_no_reason_for_one_sample(
    name: str, where: slice, objects: int
) -> None:
    """NaN over NaN once counted as an endless gap, which one sample shows."""
    whole = [dict.fromkeys(variance_report.LABELS, plays())] * objects
    spoiled = [*whole[1:], dict.fromkeys(variance_report.LABELS, plays(**{name: where}))]
    names = ["one", "other"][:objects]
    fine = variance_report.diagnose(whole, names, batch=10**6, trained="cd")
    found = variance_report.diagnose(spoiled, names, batch=10**6, trained="cd")
    assert fine.verdict is Verdict.PASS
    assert found.verdict is Verdict.FAIL
    assert "no number of samples" in found.answer


def holed(oracle: OracleMap) -> OracleMap:
    """An object one of whose candidates has no distances."""
    distance = oracle.distance.copy()
    distance[5] = NAN
    return replace(oracle, distance=distance)


def test_a_candidate_without_a_distance_is_not_left_out_of_the_best(mug_oracle: OracleMap) -> None:
    found = variance_report.two_plays(holed(mug_oracle))
    for name in ("cd", "cd_ratio", "regret_chamfer"):
        assert np.isnan(found[name].best).all(), name  # type: ignore[index]
    assert np.isfinite(found["missing"].best).all()


# The landscape and the oracle test


def shape(spread: float) -> Shape:
    alike = np.full(4, 2)
    return Shape(optima=alike, spread=np.full(4, spread), height=np.full(4, 0.1))


@pytest.mark.parametrize("spreads", [(NAN, 0.4, 0.3), (0.5, NAN, 0.3), (0.5, 0.4, NAN)])
def test_the_flattest_landscape_is_the_unmeasured_one(spreads: tuple[float, ...]) -> None:
    found = landscape.diagnose([[shape(spread) for spread in spreads]], ["one"], [])
    assert verdicts(found)["spread between candidates, flattest N"] is Verdict.FAIL
    assert landscape.diagnose([[shape(0.5)] * 3], ["one"], []).verdict is Verdict.PASS


def trial(raises: float) -> Trial:
    """A state whose loss teaches, but for the candidates that raise it."""
    won, half = np.ones(8, dtype=np.bool_), np.full(8, 0.5)
    return Trial(
        antipode_wins=won,
        oracle_wins=won,
        spread=half,
        raises=np.full(8, raises),
        spearman=half,
        above_floor=half,
    )


@pytest.mark.parametrize("shares", [(NAN, 0.0), (0.0, NAN)])
def test_the_worst_stage_is_the_unmeasured_one(shares: tuple[float, float]) -> None:
    found = oracle_test.diagnose([[trial(share) for share in shares]], ["one"])
    assert verdicts(found)["candidates that raise CD, worst N"] is Verdict.FAIL
    assert oracle_test.diagnose([[trial(0.0), trial(0.0)]], ["one"]).verdict is Verdict.PASS


def test_a_candidate_without_a_distance_raises_it_and_has_no_spread(mug_oracle: OracleMap) -> None:
    sets = np.array([[2], [9]], dtype=np.int32)
    whole, found = (oracle_test.try_states(o, sets) for o in (mug_oracle, holed(mug_oracle)))
    assert found.raises == pytest.approx(whole.raises + 1 / (mug_oracle.views - 1))
    assert np.isnan(found.spread).all() and np.isfinite(whole.spread).all()


def test_a_gain_that_is_not_a_number_has_no_spread(mug_oracle: OracleMap) -> None:
    class Unseen(OracleMap):
        def gains(self, sets: object) -> np.ndarray:
            found = super().gains(sets)  # type: ignore[arg-type]
            found[:, 5] = NAN
            return found

    parts = {name: getattr(mug_oracle, name) for name in mug_oracle.__dataclass_fields__}
    sets = np.array([[2], [9]], dtype=np.int32)
    assert np.isnan(landscape.shape_of(Unseen(**parts), sets).spread).all()


# The blind control


def played(lead: float) -> Played:
    return Played(
        object_id="one", sighted=0.75, blind=0.75 - lead, other=0.5, other_id="two", by_views=(0.0,)
    )


def test_objects_that_all_gain_alike_are_certain() -> None:
    """No scatter once divided by zero, and the endless result failed as if unmeasured."""
    assert blind_control.diagnose([played(0.25)] * 3).verdict is Verdict.PASS
    assert blind_control.diagnose([played(-0.25)] * 3).verdict is Verdict.FAIL
    assert blind_control.diagnose([played(0.0)] * 3).verdict is Verdict.FAIL
    assert blind_control.diagnose([played(0.25)]).verdict is Verdict.NOT_CHECKABLE
    assert blind_control.diagnose([played(0.25), played(NAN)]).verdict is Verdict.FAIL


# View sensitivity

SPOILED = Curves(chamfer=np.full((2, 4), NAN), repeated=np.full((2, 4), NAN))


@pytest.mark.parametrize("name", ["farthest", "random"])
def test_a_curve_without_numbers_improves_nothing(mug_oracle: OracleMap, name: str) -> None:
    fine = {order: curves(FusedDepth(), [mug_oracle], order, 4) for order in ("farthest", "random")}
    found = view_sensitivity._checks({"fusion": Measured(curves=fine | {name: SPOILED}, gates=())})
    failed = [check.name for check in found if check.verdict is Verdict.FAIL]
    assert failed == [
        f"fusion, {name}: share of added views that make it worse",
        "fusion: mean relative change by a view taken twice",
    ]


def test_one_distance_that_is_not_a_number_counts_twice(mug_oracle: OracleMap) -> None:
    """The view that lost it and the one after it have nothing to be compared with."""
    chamfer = np.array([[4.0, 3.0, NAN, 1.0, 0.5]])
    assert Curves(chamfer=chamfer, repeated=chamfer).worsening == 2 / 4


def test_candidates_without_a_ratio_close_the_gate(mug_oracle: OracleMap) -> None:
    class Silent(FusedDepth):
        def chamfer_ratios(self, oracle: OracleMap, sets: object) -> np.ndarray:
            return np.full((len(sets), oracle.views), NAN)  # type: ignore[arg-type]

    batch = sample_states(mug_oracle, 6, np.random.default_rng(0), longest=3)
    findings = stage_findings(Silent(), [batch])
    assert [one.worsening for one in findings] == [1.0] * len(findings)
    assert not any(one.passed for one in gate(findings, SensitivitySettings()))


# Output modes

UNANSWERED = "share of answers that are not finite"


def modes(numbers: int, **spoiled: slice) -> Modes:
    """A policy that chooses what is best, with NaN in some answers."""
    rng = np.random.default_rng(3)
    where = np.column_stack([rng.uniform(60, 300, 100), rng.uniform(-40, 40, 100)])
    parts = {
        "target": where,
        "choice": where.copy(),
        "utility": np.ones(100),
        "raw": np.tile([0.6, 0.8, 0.0][:numbers], (100, 1)),
    }
    for name, rows in spoiled.items():
        parts[name][rows] = NAN
    return Modes(views=1 + np.arange(100) % 5, apart=np.arange(100) % 3 == 0, **parts)


@pytest.mark.parametrize("head", ["spherical", "spherical_periodic", "unit_vector", "cartesian"])
@pytest.mark.parametrize("name", ["choice", "utility", "raw"])
def test_answers_that_are_not_finite_fail_and_are_left_out(head: str, name: str) -> None:
    """They once stopped the histogram, and counted as near no seam, no pole and no flat tanh."""
    numbers = 2 if head == "spherical" else 3
    fine = output_modes.diagnose(modes(numbers), head)
    some = output_modes.diagnose(modes(numbers, **{name: slice(0, 20)}), head)
    every = output_modes.diagnose(modes(numbers, **{name: slice(None)}), head)
    assert fine.verdict is Verdict.PASS
    values = [found.checks[0].value for found in (fine, some, every)]
    assert values == pytest.approx([0.0, 0.2, 1.0])
    assert [n for n, v in verdicts(some).items() if v is Verdict.FAIL] == [UNANSWERED]
    assert verdicts(every) == {UNANSWERED: Verdict.FAIL}
    assert some.numbers["finite"] == 80 and every.numbers["stages"] == []


def test_an_infinite_number_is_no_answer() -> None:
    said = modes(3)
    assert said.raw is not None
    said.raw[7, 1] = np.inf
    assert output_modes.diagnose(said, "unit_vector").checks[0].value == pytest.approx(0.01)


def test_a_score_that_is_not_a_number_is_no_answer(mug_oracle: OracleMap) -> None:
    """The largest score is then no choice; of a candidate already taken it does not matter."""
    states = States(mug_oracle, np.array([[2, 7], [9, 1]], dtype=np.int32))
    scores = np.tile(np.arange(float(mug_oracle.views)), (2, 1))
    scores[0, 5] = scores[1, 9] = NAN
    assert output_modes.modes_of(states, scores, "coverage").finite.tolist() == [False, True]


# The gradient report's parts

HEALTHY: dict[str, float | str] = {
    "parameters": 10.0,
    "norm": 1.0,
    "none_share": 0.0,
    "zero_share": 0.0,
    "nan_share": 0.0,
    "dead_tensors": 0.0,
    "dead": "",
    "update_ratio": 1e-3,
}
UPDATES = ("largest update over weights, median step", "smallest update over weights, median step")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("update_ratio", UPDATES),
        ("nan_share", ("share of NaN in any gradient",)),
        ("dead_tensors", ("weight tensors without any gradient, median step",)),
    ],
)
def test_a_parts_number_that_is_nan_fails_in_any_order(
    name: str, checks: tuple[str, ...], first: bool
) -> None:
    """The largest of 1e-3 and NaN is what stands first."""
    order = (HEALTHY | {name: NAN}, HEALTHY)
    pair = dict(zip("ab", order if first else order[::-1], strict=True))
    found = part_checks(summarise([{"step": 1, "modules": pair}]))
    assert tuple(check.name for check in found if check.verdict is Verdict.FAIL) == checks


@pytest.mark.parametrize("first", [True, False])
def test_the_worst_share_of_nan_over_the_steps_is_the_unmeasured_one(first: bool) -> None:
    steps = (HEALTHY | {"nan_share": NAN}, HEALTHY)
    entries = [{"step": 1, "modules": {"a": step}} for step in (steps if first else steps[::-1])]
    assert np.isnan(summarise(entries)["a"]["nan_share"])


def test_a_part_whose_update_was_not_noted_is_not_checkable() -> None:
    silent = {name: value for name, value in HEALTHY.items() if name != "update_ratio"}
    parts = summarise([{"step": 1, "modules": {"a": HEALTHY, "b": silent}}])
    found = {check.name: check.verdict for check in part_checks(parts)}
    assert {found.pop(name) for name in UPDATES} == {Verdict.NOT_CHECKABLE}
    assert set(found.values()) == {Verdict.PASS}
    (table,) = parts_table(parts)
    assert [row[-1] for row in table.rows] == [1e-3, "unknown"]
