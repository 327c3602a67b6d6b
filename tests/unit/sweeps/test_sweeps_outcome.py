"""What a sweep found, how many trials have room, and what whoever watches is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from trial_records import record_of
from typer.testing import CliRunner

from gimbal.cli.main import build_app
from gimbal.cli.sweep_progress import ConsoleSweepObserver
from gimbal.errors import ConfigError
from gimbal.experiment.settings import Resources
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.events import SilentSweepObserver
from gimbal.sweeps.outcome import best_of
from gimbal.sweeps.room import room_for
from gimbal.sweeps.spec import read_sweep
from gimbal.sweeps.telling import TrialTeller
from gimbal.sweeps.trials import Trial


def trial(
    number: int, x: Any, metric: float | None, seed: int = 0, status: str = "finished"
) -> TrialRecord:
    about = Trial(number=number, point={"m.x": x}, seed=seed, many_seeds=False)
    return record_of(about, TrialStatus(status), metric=metric)


@pytest.mark.parametrize(("mode", "x", "number"), [("max", 2, 3), ("min", 1, 0)])
def test_the_best_point_is_the_best_mean_and_names_its_best_trial(
    mode: Literal["max", "min"], x: int, number: int
) -> None:
    trials = [trial(0, 1, 0.1), trial(1, 1, 0.5, seed=1), trial(2, 2, 0.4), trial(3, 2, 0.6, 1)]
    best = best_of(trials, mode, (0, 1))
    assert best is not None
    assert (best.config, best.seeds, best.trial.number) == ({"m.x": x}, (0, 1), number)
    assert best.metric == pytest.approx(0.5 if x == 2 else 0.3)


def test_a_lucky_half_of_the_seeds_beats_no_whole_point() -> None:
    trials = [trial(0, 1, 0.1), trial(1, 1, 0.1, seed=1), trial(2, 2, 9.0)]
    trials.append(trial(3, 2, None, seed=1, status="failed"))
    best = best_of(trials, "max", (0, 1))
    assert best is not None
    assert best.config == {"m.x": 1}
    alone = best_of(trials[2:], "max", (0, 1))
    assert alone is not None
    assert (alone.config, alone.seeds) == ({"m.x": 2}, (0,))


def test_only_finished_trials_count_and_the_first_of_equals_wins() -> None:
    trials = [trial(0, 1, 9.0, status="failed"), trial(1, 2, None, status="stopped")]
    assert best_of(trials, "max", (0,)) is None
    trials += [trial(2, 3, 0.5), trial(3, 4, 0.5)]
    best = best_of(trials, "max", (0,))
    assert best is not None
    assert best.trial.number == 2


@pytest.mark.parametrize(
    ("resources", "wanted", "cluster", "grows", "fits", "words"),
    [
        ({}, 4, {"CPU": 8}, False, 4, ""),
        ({"workers": 2}, 4, {"CPU": 5}, False, 2, "2 of 4 trials"),
        ({"cpus_per_worker": 0.1}, 3, {"CPU": 0.3}, False, 3, ""),
        ({"gpus_per_worker": 1}, 4, {"CPU": 8, "GPU": 2}, False, 2, "trains on 1 GPUs"),
        ({"gpus_per_worker": 0.5}, 4, {"CPU": 8, "GPU": 2}, False, 4, ""),
        ({"gpus_per_worker": 0}, 4, {"CPU": 8}, False, 4, ""),
        ({"gpus_per_worker": "auto"}, 4, {"CPU": 8, "GPU": 1}, False, 4, ""),
        ({"workers": 9}, 4, {"CPU": 8}, True, 1, "1 of 4 trials"),
        ({"workers": 9}, 4, {"CPU": 8}, False, None, "one trial trains on 9 CPUs"),
        ({"gpus_per_worker": 1}, 1, {"CPU": 8}, False, None, "one trial trains on 1 GPUs"),
    ],
)
def test_how_many_trials_have_room(
    resources: dict[str, Any],
    wanted: int,
    cluster: dict[str, float],
    grows: bool,
    fits: int | None,
    words: str,
) -> None:
    if fits is None:
        with pytest.raises(ConfigError, match=words):
            room_for(Resources(**resources), wanted, cluster, grows=grows)
        return
    found, said = room_for(Resources(**resources), wanted, cluster, grows=grows)
    assert found == fits
    assert words in said
    assert bool(said) == bool(words)


class Notes(SilentSweepObserver):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    def trial_moved(self, trial: TrialRecord) -> None:
        self.told.append((str(trial.status), None))

    def trial_ended(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        self.told.append((str(trial.status), best.id if best else None))


def test_each_thing_is_told_once(toy: Path, sweep_file: Any) -> None:
    folder = SweepFolder(toy / "runs" / "s" / "sweep-20261126-000000-abcd")
    notes = Notes()
    teller = TrialTeller(folder, notes, read_sweep(sweep_file()).spec)
    teller.moved("00000")
    for status in ("running", "running", "delayed", "running", "finished", "finished"):
        folder.write_trial(trial(0, 1, 0.5 if status == "finished" else None, status=status))
        teller.moved("00000")
    assert notes.told == [
        ("running", None),
        ("delayed", None),
        ("running", None),
        ("finished", "00000"),
    ]
    (folder.path / "trials" / "00000.json").write_text("{")
    teller.moved("00000")


@pytest.mark.parametrize("x", ["[bold]", "[/x]", "[red", "\\", "[[1]]", "ä…", ""])
def test_odd_names_and_messages_are_printed_as_they_are(
    x: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ConsoleSweepObserver() as observer:
        observer.sweep_started(f"runs/{x}", 2, 1, 1)
        record = trial(0, x, 0.5).model_copy(update={"message": x})
        for status in (TrialStatus.RUNNING, TrialStatus.DELAYED, TrialStatus.WAITING):
            observer.trial_moved(record.model_copy(update={"status": status}))
        for status in (TrialStatus.FINISHED, TrialStatus.STOPPED, TrialStatus.FAILED):
            ended = record.model_copy(update={"status": status})
            observer.trial_ended(ended, ended)
        observer.notice(x)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count(f"x={x}") == 5
    assert f"delayed: {x}" in err


def test_the_help_tells_how_it_ends() -> None:
    shown = CliRunner().invoke(build_app(["sweep"]), ["sweep", "--help"], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    for words in ("Examples:", "Exit status:", "130", "--resume", "--retry-failed", "--json"):
        assert words in shown.output


@pytest.mark.parametrize(
    "arguments",
    [["--samples", "0"], ["--concurrent", "0"], ["--budget-s", "0"], ["--retry-failed"], ["--no"]],
)
def test_a_wrong_option_ends_with_2(sweep_file: Any, toy: Path, arguments: list[str]) -> None:
    shown = CliRunner().invoke(build_app(["sweep"]), ["sweep", str(sweep_file()), *arguments])
    assert shown.exit_code == 2
    assert not (toy / "runs").exists()


def test_the_json_is_one_strict_line(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gimbal.cli.sweep_command import _report
    from gimbal.experiment.sweep_record import SweepRecord
    from gimbal.sweeps.outcome import SweepOutcome

    records = (trial(0, "[/x] ü", 0.5), trial(1, 2, float("nan"), status="failed"))
    record = SweepRecord(
        id="sweep-20261126-000000-abcd",
        name="s",
        workload="w",
        status="finished",  # type: ignore[arg-type]
        metric="a.b",
        mode="max",
        axes=("m.x",),
        seeds=(0,),
        search="grid",
        scheduler="none",
        samples=0,
        started_at="2026-11-26T00:00:00Z",  # type: ignore[arg-type]
    )
    outcome = SweepOutcome(
        folder=SweepFolder(toy / "[/s]"),
        record=record,
        trials=records,
        best=best_of(records, "max", (0,)),
        comparison=None,
    )
    _report(outcome, as_json=True)
    out, err = capsys.readouterr()

    def refuse(text: str) -> None:
        raise ValueError(text)

    (line,) = out.splitlines()
    found = json.loads(line, parse_constant=refuse)
    assert found["best"]["config"] == {"m.x": "[/x] ü"}
    assert found["trials"][1]["metric"] is None
    assert "[/x] ü" in err
