"""Comparing stored runs: groups, protocols, and runs that are not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gimbal.comparison.comparing import NO_COMMON_SEED, OTHER_PROTOCOL, Question, compare
from gimbal.comparison.curves import MAX_POINTS, read_curves
from gimbal.comparison.records import load_run
from gimbal.comparison.sweeps import compare_sweep
from gimbal.errors import ConfigError
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import TrialStatus
from gimbal.testing.stored_runs import PROTOCOL, MadeRun, make_run, make_sweep, sample_values

COLD = {"model": {"temperature": 0.05}, "train": {"lr": 0.001}}
WARM = {"model": {"temperature": 0.1}, "train": {"lr": 0.001}}
OTHER = {**PROTOCOL, "candidates": 128}


def two_by_three(**changes: Any) -> list[MadeRun]:
    """Two configs, the second better, with three seeds each."""
    return [
        MadeRun(number=3 * i + seed, seed=seed, config=config, mean=0.5 + 0.1 * i, **changes)
        for i, config in enumerate((COLD, WARM))
        for seed in range(3)
    ]


def made(folder: Path, runs: list[MadeRun], **question: Any):
    return compare([make_run(folder, run) for run in runs], Question(**question))


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path: Path) -> None:
    result = made(tmp_path, two_by_three())
    assert [(g.label, g.seeds) for g in result.groups] == [
        ("temperature=0.1", (0, 1, 2)),
        ("temperature=0.05", (0, 1, 2)),
    ]
    assert result.axes == ("model.temperature",)
    assert result.protocol == PROTOCOL


def test_the_better_group_leads_and_the_difference_is_settled(tmp_path: Path) -> None:
    runs = two_by_three()
    result = made(tmp_path, runs)
    best, other = result.groups
    assert best.measured is not None
    assert best.measured.value == pytest.approx(
        sum(sample_values(run).mean() for run in runs[3:]) / 3
    )
    assert other.difference is not None
    assert other.difference.settled
    assert other.difference.value == pytest.approx(-0.1, abs=0.02)
    assert result.verdict[:2] == (
        f"temperature=0.1 has the highest evaluate.score: {_shown(best.measured)}.",
        "It is better than every other group, beyond chance.",
    )


def _shown(measured: Any) -> str:
    from gimbal.comparison.verdict import interval

    return interval(measured)


def test_a_lower_metric_is_ranked_the_other_way_round(tmp_path: Path) -> None:
    result = made(tmp_path, two_by_three(), metric="evaluate.error")
    assert result.metric is not None
    assert (result.metric.mode, result.metric.unit) == ("min", "mm")
    assert result.groups[0].label == "temperature=0.1"
    assert (
        made(tmp_path / "again", two_by_three(), metric="evaluate.error", mode="max")
        .groups[0]
        .label
        == "temperature=0.05"
    )


def test_a_final_number_is_joined_to_its_samples_only_if_they_have_its_mean(tmp_path: Path) -> None:
    runs = [replace(run, finals={"error": 1.0 + run.number}) for run in two_by_three()]
    joined = made(tmp_path, runs, metric="evaluate.score")
    assert joined.groups[0].measured is not None
    assert joined.groups[0].measured.basis == "samples and seeds"
    result = compare(
        [load.path for load in map(load_run, sorted(tmp_path.glob("made/2*")))],
        Question(metric="evaluate.objects", mode="max"),
    )
    assert result.groups[0].measured is not None
    assert result.groups[0].measured.basis == "seeds"


def test_one_seed_without_samples_has_no_interval(tmp_path: Path) -> None:
    runs = [
        MadeRun(number=i, config=c, samples=0, finals={"total": 4 + i})
        for i, c in enumerate((COLD, WARM))
    ]
    result = made(tmp_path, runs, metric="evaluate.total", mode="max")
    assert [g.measured.value for g in result.groups if g.measured] == [5, 4]
    assert all(g.measured.low is None for g in result.groups if g.measured)
    assert result.groups[0].measured.basis == "one seed: no interval"
    assert result.groups[1].difference.p is None


def test_without_a_headline_the_metric_has_to_be_named(tmp_path: Path) -> None:
    runs = [MadeRun(number=0, samples=0, finals={"total": 4})]
    with pytest.raises(ConfigError, match="headline") as caught:
        made(tmp_path, runs)
    assert "--metric evaluate.total --mode max" in caught.value.remedy
    again = [tmp_path / "made" / runs[0].run_id]
    with pytest.raises(ConfigError, match="whether a larger"):
        compare(again, Question(metric="evaluate.total"))
    with pytest.raises(ConfigError, match="no run has") as caught:
        compare(again, Question(metric="evaluate.totl", mode="max"))
    assert "evaluate.total" in caught.value.remedy


def test_different_protocols_are_refused_key_by_key(tmp_path: Path) -> None:
    runs = two_by_three()
    runs[3:] = [replace(run, protocol=OTHER) for run in runs[3:]]
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, runs)
    assert "candidates: 64 / 128" in caught.value.message
    assert "test_list_sha256" not in caught.value.message
    assert "--across-protocols" in caught.value.remedy


def test_across_protocols_nothing_is_tested_and_the_page_is_told(tmp_path: Path) -> None:
    runs = two_by_three()
    runs[3:] = [replace(run, protocol=OTHER) for run in runs[3:]]
    result = made(tmp_path, runs, across_protocols=True)
    assert result.across_protocols
    assert [d.key for d in result.protocol_differences] == ["candidates"]
    assert result.groups[1].difference is None
    assert result.groups[1].note == OTHER_PROTOCOL
    assert any("different protocols (candidates)" in sentence for sentence in result.verdict)


def test_a_protocol_that_the_seed_decides_is_paired_within_the_seed(tmp_path: Path) -> None:
    """A workload may draw its test set with the seed; then each seed has its own question."""
    runs = [
        replace(run, protocol={**PROTOCOL, "test_list_sha256": str(run.seed)})
        for run in two_by_three()
    ]
    result = made(tmp_path, runs)
    assert not result.across_protocols
    other = result.groups[1].difference
    assert other is not None
    assert other.samples == 60
    assert other.basis == "seeds"
    assert result.groups[0].measured.basis == "seeds"
    assert any("Every seed has its own protocol" in sentence for sentence in result.verdict)


def test_groups_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    runs = [
        replace(run, protocol={**PROTOCOL, "test_list_sha256": str(run.seed)})
        for run in two_by_three()
    ]
    with pytest.raises(ConfigError, match="test_list_sha256"):
        made(tmp_path, [runs[0], runs[4]])
    third = MadeRun(
        number=9, seed=7, config={"model": {"temperature": 1.0}, "train": {"lr": 0.001}},
        mean=0.1, protocol={**PROTOCOL, "test_list_sha256": "7"},
    )  # fmt: skip
    result = made(tmp_path / "more", [*runs, third])
    assert result.groups[2].note == NO_COMMON_SEED
    assert result.groups[2].difference is None


def test_the_baseline_is_the_reference_and_fewer_tests_are_corrected_for(tmp_path: Path) -> None:
    runs = two_by_three()
    baseline = tmp_path / "made" / runs[1].run_id
    result = made(tmp_path, runs, baseline=baseline)
    assert result.reference == 1
    assert result.groups[1].difference is None
    assert result.groups[0].difference is not None
    assert (result.chosen, result.tests) == ("named", 1)
    assert "Better than temperature=0.05: temperature=0.1." in result.verdict
    with pytest.raises(ConfigError, match="not among"):
        compare([baseline], Question(baseline=tmp_path / "made" / "other"))


def test_a_best_of_four_is_corrected_for_all_six_pairs(tmp_path: Path) -> None:
    runs = [MadeRun(number=i, config={"lr": i}, mean=0.5 + 0.1 * i) for i in range(4)]
    result = made(tmp_path, runs)
    assert result.tests == 6
    worst = result.groups[3].difference
    assert worst is not None
    assert worst.p_corrected == pytest.approx(min(1.0, 6 * worst.p))


def test_one_config_made_by_two_codes_is_two_groups(tmp_path: Path) -> None:
    old, new = (
        MadeRun(number=i, config=COLD, provenance={"code": {"digest": str(i) * 64}}) for i in (1, 2)
    )
    assert {g.label for g in made(tmp_path, [old, new]).groups} == {
        "code=1111111111",
        "code=2222222222",
    }
    other_seed = replace(new, seed=1)
    assert len(made(tmp_path / "seeds", [old, other_seed]).groups) == 1


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.RUNNING, RunStatus.INTERRUPTED])
def test_a_run_that_did_not_finish_is_shown_and_not_counted(
    status: RunStatus, tmp_path: Path
) -> None:
    runs = two_by_three()
    runs[5] = replace(runs[5], status=status, message="the loss became NaN")
    result = made(tmp_path, runs)
    assert result.groups[0].seeds == (0, 1)
    # a running run whose process is gone reads as interrupted
    shown = "interrupted" if status is RunStatus.RUNNING else str(status)
    assert result.runs[5].status == shown
    assert "the loss became NaN" in result.runs[5].message
    assert f"Of 6 runs, 1 {shown}." in result.verdict


@pytest.mark.parametrize(
    "name", ["run.json", "config.yaml", "provenance.json", "stages/evaluate/samples.json",
             "stages/train/metrics.jsonl"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b"null", None])
def test_a_damaged_file_never_stops_a_comparison(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    paths = [make_run(tmp_path, run) for run in two_by_three()]
    if content is None:
        (paths[0] / name).unlink()
    else:
        (paths[0] / name).write_bytes(content)
    result = compare(paths)
    assert len(result.runs) == 6
    assert result.groups[0].label == "temperature=0.1"
    if name == "run.json":
        assert result.runs[0].status == "damaged"
        assert result.runs[0].message


def test_hostile_shapes_in_run_json_are_read_as_damage(tmp_path: Path) -> None:
    path = make_run(tmp_path, MadeRun(number=0))
    state = json.loads((path / "run.json").read_text())
    state["stages"]["evaluate"]["metrics"] = {"a": {"b": [1, {"c": float("inf")}]}, "score": True}
    (path / "run.json").write_text(json.dumps(state))
    record = load_run(path)
    assert dict(record.finals)["evaluate.a.b.0"] == 1
    assert "evaluate.score" not in record.finals
    assert record.finals["evaluate.a.b.1.c"] == float("inf")


def test_nothing_finished_yet_is_no_error(tmp_path: Path) -> None:
    runs = [replace(run, status=RunStatus.FAILED, message="no") for run in two_by_three()]
    result = made(tmp_path, runs)
    assert result.reference is None
    assert result.verdict[0] == "No run has a number to compare yet."


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no runs"):
        compare([])


def test_a_sweep_brings_its_metric_names_seconds_and_unborn_trials(tmp_path: Path) -> None:
    runs = [
        replace(run, experiment="s", trial=f"trial {run.number}", seconds=10.0)
        for run in two_by_three()
    ]
    folder = make_sweep(tmp_path, runs, ["model.temperature"])
    first = folder.trials()[0]
    stopped = first.model_copy(
        update={"status": TrialStatus.STOPPED, "message": "no future", "seconds": 3.5}
    )
    folder.write_trial(stopped)
    folder.write_trial(
        first.model_copy(
            update={"id": "00099", "number": 99, "run_dir": None, "status": TrialStatus.WAITING}
        )
    )
    result = compare_sweep(folder)
    assert result.metric is not None
    assert (result.metric.path, result.metric.sample) == ("evaluate.score", "object")
    assert result.runs[0].status == "stopped"
    assert result.runs[0].seconds == 3.5
    assert result.runs[-1].status == "waiting"
    assert [step.best for step in result.best_so_far] == sorted(
        step.best for step in result.best_so_far
    )
    assert result.best_so_far[-1].seconds == pytest.approx(53.5)


def test_a_sweep_that_varies_the_protocol_on_purpose_is_compared(tmp_path: Path) -> None:
    runs = two_by_three()
    runs[3:] = [replace(run, protocol=OTHER) for run in runs[3:]]
    with pytest.raises(ConfigError, match="protocols"):
        compare_sweep(make_sweep(tmp_path / "a", runs, ["model.temperature"]))
    folder = make_sweep(tmp_path / "b", runs, ["model.temperature"], across_protocols=True)
    assert compare_sweep(folder).across_protocols


def test_a_moved_sweep_finds_its_runs_beside_it(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "old", two_by_three(), ["model.temperature"])
    moved = tmp_path / "new"
    (tmp_path / "old").rename(moved)
    folder = type(folder)(moved / "made" / folder.path.name)
    assert compare_sweep(folder).groups[0].seeds == (0, 1, 2)


def test_long_curves_are_thinned_to_their_ends(tmp_path: Path) -> None:
    stage = tmp_path / "train"
    stage.mkdir()
    lines = [json.dumps({"step": s, "values": {"loss": s, "odd": None}}) for s in range(1000)]
    (stage / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 1000, "va')
    curves = read_curves(tmp_path, ["train"]).by_name
    assert list(curves) == ["train/loss"]
    steps = curves["train/loss"].steps
    assert (len(steps), steps[0], steps[-1]) == (MAX_POINTS, 0, 999)


def test_the_comparison_is_plain_json(tmp_path: Path) -> None:
    result = made(tmp_path, two_by_three())
    read = json.loads(result.model_dump_json())
    assert read["groups"][0]["label"] == "temperature=0.1"
    assert "detail" not in read
