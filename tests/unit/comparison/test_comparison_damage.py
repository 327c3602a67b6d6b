"""What cannot be read or has not finished is named, and decides nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gimbal.comparison.comparing import NO_SAMPLES, Question, compare
from gimbal.comparison.sweeps import compare_sweep
from gimbal.errors import ConfigError
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import SweepStatus, TrialStatus
from gimbal.testing.stored_runs import MadeRun, make_run, make_sweep

RUNS = [
    MadeRun(number=i, seed=i, config={"lr": 0.1}, status=RunStatus.FAILED, message="no")
    for i in range(3)
]


def test_a_sweep_none_of_whose_trials_has_finished_says_exactly_that(tmp_path: Path) -> None:
    going = {"status": SweepStatus.INTERRUPTED, "samples": 2}
    folder = make_sweep(tmp_path, RUNS, ["lr"], **going)
    for trial, status in zip(
        folder.trials(), (TrialStatus.RUNNING, TrialStatus.WAITING), strict=False
    ):
        folder.write_trial(trial.model_copy(update={"status": status}))
    (folder.path / "trials" / "00002.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        compare_sweep(folder)
    assert caught.value.message == (
        f"no trial of made/{folder.path.name} has finished yet: 1 running, 4 waiting, "
        "00002.json is damaged"
    )
    assert caught.value.exit_code == 2


def test_of_a_sweep_that_is_over_nothing_is_expected_any_more(tmp_path: Path) -> None:
    runs = [replace(run, experiment="over") for run in RUNS]
    with pytest.raises(ConfigError, match="has finished: 3 failed") as caught:
        compare_sweep(make_sweep(tmp_path, runs, ["lr"]))
    assert "--retry-failed" in caught.value.remedy


def three(tmp_path: Path, **changes: object) -> list[Path]:
    """Three configs, the last the best."""
    runs = [MadeRun(number=i, config={"lr": i}, mean=0.5 + 0.1 * i) for i in range(3)]
    return [make_run(tmp_path, replace(run, **changes)) for run in runs]  # type: ignore[arg-type]


NAN = '{"protocol": {}, "sample": "x", "metrics": {"score": {"better": "higher", "values": %s}}}'


@pytest.mark.parametrize("content", ["[]", "", "{}", NAN % '{"a": NaN}'])
def test_a_run_with_damaged_samples_keeps_its_rank_and_is_named(
    content: str, tmp_path: Path
) -> None:
    paths = three(tmp_path)
    (paths[2] / "stages/evaluate/samples.json").write_text(content)
    result = compare(paths)
    best = result.groups[0]
    assert (best.label, best.note) == ("lr=2", NO_SAMPLES)
    assert best.measured is not None
    assert best.measured.low is None
    assert "samples.json is damaged" in result.runs[2].message
    assert result.notes == ()


def test_a_group_without_a_test_is_not_said_to_be_beaten(tmp_path: Path) -> None:
    runs = [
        MadeRun(number=2 * i + seed, seed=seed, config={"lr": i}, mean=0.5 + 0.2 * i)
        for i in range(3)
        for seed in range(2 if i != 1 else 1)
    ]
    paths = [make_run(tmp_path, run) for run in runs]
    for path in paths:
        (path / "stages/evaluate/samples.json").unlink()
    result = compare(paths, Question(metric="evaluate.score", mode="max"))
    assert result.verdict[1:] == (
        "It is better than every group it could be tested against, beyond chance.",
        "Not tested: lr=1.",
    )


def test_the_ranking_stays_with_the_number_most_runs_have(tmp_path: Path) -> None:
    paths = three(tmp_path)
    alone = json.loads((paths[0] / "stages/evaluate/samples.json").read_text())
    alone["metrics"] = {"other": alone["metrics"]["error"]}
    (paths[0] / "stages/evaluate/samples.json").write_text(json.dumps(alone))
    state = json.loads((paths[0] / "run.json").read_text())
    del state["stages"]["evaluate"]["metrics"]["score"]
    (paths[0] / "run.json").write_text(json.dumps(state))
    result = compare(paths)
    assert result.metric is not None
    assert result.metric.path == "evaluate.score"
    assert result.notes == (f"made/{paths[0].name} has no evaluate.score: not ranked.",)


def test_damaged_lines_of_a_curve_are_counted_but_not_the_one_being_written(
    tmp_path: Path,
) -> None:
    paths = three(tmp_path)
    with (paths[0] / "stages/train/metrics.jsonl").open("a") as file:
        file.write('[1]\nnull\n{"step": 3, "val')
    with (paths[1] / "stages/train/metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "val')
    state = json.loads((paths[1] / "run.json").read_text())
    state["stages"]["train"]["status"] = "running"
    (paths[1] / "run.json").write_text(json.dumps(state))
    result = compare(paths)
    assert "metrics.jsonl is damaged: 3 lines cannot be read" in result.runs[0].message
    assert "damaged" not in result.runs[1].message


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_number_that_is_none_never_wins(odd: float, mode: str, tmp_path: Path) -> None:
    paths = three(tmp_path, samples=0, finals={"total": 4})
    state = json.loads((paths[1] / "run.json").read_text())
    state["stages"]["evaluate"]["metrics"]["total"] = odd
    (paths[1] / "run.json").write_text(json.dumps(state))
    result = compare(paths, Question(metric="evaluate.total", mode=mode))  # type: ignore[arg-type]
    assert [group.measured is None for group in result.groups] == [False, False, True]
    assert [step.best for step in result.best_so_far] == [4, 4]
    assert "has no evaluate.total" in result.notes[0]


def test_a_whole_number_beyond_every_float_stops_nothing(tmp_path: Path) -> None:
    paths = three(tmp_path)
    huge = "1" + "0" * 400
    with (paths[0] / "stages/train/metrics.jsonl").open("a") as file:
        file.write(f'{{"step": 999, "values": {{"train/loss": {huge}}}}}\n')
    text = (paths[0] / "run.json").read_text()
    (paths[0] / "run.json").write_text(text.replace('"objects": 20', f'"objects": {huge}'))
    result = compare(paths, Question(metric="evaluate.objects", mode="max"))
    assert "has no evaluate.objects" in result.notes[0]
    assert 999 not in result.detail.curves["train/train/loss"][0][0]
