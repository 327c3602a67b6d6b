"""The headline may not claim more than the interval and the blind control allow."""

from typing import Any

import pytest

from gimbal_nbv.report.verdict import judge

RUN: dict[str, Any] = {}


def evaluation(
    value: float, ci95: list[float] | None, *, blind: float | None = 0.03, count: int = 60
) -> dict[str, Any]:
    """Make one whose objects all have the same leads, apart from a little seeded noise."""
    wiggle = [0.001 * ((7 * i) % 5 - 2) for i in range(count)]
    auc = {"policy": 0.7 + 0.2 * value, "farthest": 0.7, "oracle": 0.9}
    if blind is not None:
        auc["blind"] = 0.7 + 0.2 * blind
    rows = [{"object_id": str(i), "auc": {**auc, "policy": auc["policy"] + wiggle[i]}}
            for i in range(count)]  # fmt: skip
    return {
        "auc": auc,
        "protocol": {"objects": count},
        "gap_closed": {"value": value, "ci95": ci95},
        "per_object": rows,
    }


def test_clear_win_is_said_with_its_interval_and_the_blind_control() -> None:
    verdict = judge(evaluation(0.58, [0.51, 0.65]), RUN)
    assert verdict.tone == "good"
    assert verdict.headline.replace("\u202f", " ").replace("\u00a0", " ") == (
        "The policy closes 58 % [51, 65] of the gap between farthest and the oracle "
        "on 60 held-out objects; the blind control closes 3 %."
    )


@pytest.mark.parametrize(
    ("value", "ci95", "tone", "words"),
    [
        (0.08, [-0.06, 0.21], "caution", "No measurable gain"),
        (-0.2, [-0.3, -0.1], "bad", "worse than farthest"),
        (0.5, None, "caution", "no interval"),
    ],
)
def test_weak_evidence_is_not_sold_as_a_win(
    value: float, ci95: list[float] | None, tone: str, words: str
) -> None:
    verdict = judge(evaluation(value, ci95), RUN)
    assert verdict.tone == tone
    assert words in verdict.headline


def test_blind_control_that_keeps_up_outranks_a_good_number() -> None:
    verdict = judge(evaluation(0.58, [0.51, 0.65], blind=0.58), RUN)
    assert verdict.tone == "bad"
    assert verdict.badge == "The blind control does as well"
    assert "does not come from what the camera sees" in verdict.headline


def test_blind_control_is_judged_by_the_interval_when_objects_are_missing() -> None:
    data = evaluation(0.58, [0.51, 0.65], blind=0.55)
    del data["per_object"]
    assert judge(data, RUN).tone == "bad"


def test_missing_blind_control_is_said() -> None:
    verdict = judge(evaluation(0.58, [0.51, 0.65], blind=None), RUN)
    assert any("No blind control" in note for note in verdict.notes)


@pytest.mark.parametrize("missing", ["policy", "farthest", "oracle"])
def test_no_gap_without_its_three_policies(missing: str) -> None:
    data = evaluation(0.58, [0.51, 0.65])
    del data["auc"][missing], data["gap_closed"]
    assert judge(data, RUN).tone == "unknown"


def test_failed_gates_uncommitted_code_and_few_objects_are_not_hidden() -> None:
    run = {"gates": [{"name": "spread", "passed": False}], "dirty": True}
    verdict = judge(evaluation(0.58, [0.51, 0.65], count=5), run)
    assert verdict.alarms == (
        "Failed gate: spread.",
        "The working tree had uncommitted changes.",
    )
    assert any("Only 5 objects" in note for note in verdict.notes)
    assert (verdict.tone, verdict.badge) == ("caution", "Beats farthest, on few objects")


def test_oracle_that_does_not_beat_farthest_leaves_no_gap() -> None:
    data = evaluation(0.0, [0.0, 0.0])
    data["auc"]["oracle"] = data["auc"]["farthest"]
    assert judge(data, RUN).tone == "unknown"
