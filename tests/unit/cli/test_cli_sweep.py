"""`gimbal sweep`: signals, and options that go together."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gimbal.cli.main import build_app
from gimbal.cli.sweep_command import _stoppable
from gimbal.experiment.sweep_record import SweepFolder, SweepRecord, TrialRecord


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_stops_a_sweep_as_ctrl_c_does(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with _stoppable() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_nohup_goes_on(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _stoppable() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert not asked.is_set()


@pytest.mark.parametrize("option", [["--sweep", "x"], ["--retry-failed"], ["--allow-drift"]])
def test_what_goes_with_resume_is_refused_without(option: list[str]) -> None:
    result = CliRunner().invoke(build_app(["sweep"]), ["sweep", "none.yaml", *option])
    assert result.exit_code == 2
    assert "goes with --resume only" in result.output


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(build_app(["runs"]), ["runs", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def make_sweep(runs: Path, name: str, day: int) -> SweepFolder:
    """Leave a sweep of three points with two seeds, of which one point is finished."""
    folder = SweepFolder(runs / name / f"sweep-2026110{day}-000000-abcd")
    record = {
        "id": folder.path.name,
        "name": name,
        "workload": "toy",
        "status": "stopped",
        "metric": "score.value",
        "mode": "min",
        "axes": ("a",),
        "seeds": (0, 1),
        "search": "random",
        "scheduler": "none",
        "samples": 3,
        "started_at": f"2026-11-0{day}T00:00:00Z",
    }
    folder.write(SweepRecord.model_validate(record))
    for seed in (0, 1):
        trial = {"id": f"0000{seed}", "number": seed, "name": "a", "overrides": {"a": 1}}
        trial |= {"seed": seed, "status": "finished", "metric": seed + day}
        folder.write_trial(TrialRecord.model_validate(trial))
    return folder


def test_sweeps_are_listed_newest_first(tmp_path: Path) -> None:
    where = ["--runs-dir", str(tmp_path)]
    assert invoke("sweeps", "--json", *where) == "[]\n"
    assert "no sweeps in" in invoke("sweeps", *where)
    for day, name in ((1, "one"), (2, "two"), (3, "one")):
        folder = make_sweep(tmp_path, name, day)
    (folder.path / "sweep.json").write_text("{")
    rows = json.loads(invoke("sweeps", "--json", *where))
    assert [(row["name"], row["status"]) for row in rows] == [
        ("one", "damaged"),
        ("two", "stopped"),
        ("one", "stopped"),
    ]
    assert {key: rows[1][key] for key in ("ended", "finished", "trials", "best", "sweep_dir")} == {
        "ended": 2,
        "finished": 2,
        "trials": 6,
        "best": 2.5,
        "sweep_dir": str(tmp_path / "two" / "sweep-20261102-000000-abcd"),
    }
    table = invoke("sweeps", *where, "--name", "two")
    assert "2/6" in table
    assert "score.value = 2.5" in table
    assert "one" not in table.replace("none", "")
