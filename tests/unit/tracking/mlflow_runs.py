"""Runs tracked for real, and what MLflow's SQLite file says of them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from gimbal.experiment.settings import TrackingSettings
from gimbal.experiment.stage import GateResult
from gimbal.experiment.sweep_record import TrialOf
from gimbal.tracking import Tracker

CLOSE_S = 60.0


def open_tracker(runs: Path, name: str = "run-1", uri: str | None = None, said: list | None = None):
    run_dir = runs / "nbv" / name
    run_dir.mkdir(parents=True, exist_ok=True)
    return Tracker.open(
        run_dir,
        TrackingSettings(uri=uri),
        runs,
        experiment="nbv",
        run_name=name,
        params={"train": {"lr": 0.1}, "notes": "n" * 9000},
        tags={"gimbal.run_id": name, "gimbal.commit": "abc"},
        on_warning=(said if said is not None else []).append,
    )


class Database:
    """Reads MLflow's SQLite file."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file)

    def rows(self, query: str, *values: object) -> list[tuple]:
        return self._connection.execute(query, values).fetchall()

    def run_ids(self) -> dict[str, str]:
        rows = self.rows("select name, run_uuid from runs")
        assert len(dict(rows)) == len(rows), "a run exists twice"
        return dict(rows)

    def status(self, name: str) -> str:
        return self.rows("select status from runs where name = ?", name)[0][0]

    def statuses(self) -> list[str]:
        return [status for (status,) in self.rows("select status from runs")]

    def tags(self, name: str) -> dict[str, str]:
        query = "select key, value from tags where run_uuid = ?"
        return dict(self.rows(query, self.run_ids()[name]))

    def series(self, name: str, metric: str) -> list[tuple[int, float]]:
        query = "select step, value from metrics where run_uuid = ? and key = ? order by step"
        return self.rows(query, self.run_ids()[name], metric)


def track_one_run(run_dir: Path, tracker, stage_name: str) -> None:
    checkpoint = run_dir / "checkpoints" / "step-00000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.pt").write_bytes(b"weights")
    entry = {"path": checkpoint.name, "sha256": "feed", "step": 2, "metrics": {"val": 0.5}}
    index = run_dir / "checkpoints" / "index.json"
    index.write_text(json.dumps({"checkpoints": [entry], "best": checkpoint.name}))
    file = run_dir / "metrics.jsonl"
    file.write_text("".join(line(step) for step in range(3)))
    stage = tracker.stage(stage_name, tags={"gimbal.data": "fingerprint"})
    stage.follow(file)
    stage.checkpoints(index)
    stage.gate(GateResult(name="learns", passed=False, message="loss = 2, wanted < 1"))
    stage.finish("finished")
    (run_dir / "report.html").write_text("<html></html>")
    tracker.artifact(run_dir / "report.html")
    tracker.artifact(run_dir / "metrics.jsonl", "raw/numbers.jsonl")
    tracker.metrics({"auc": {"policy": 0.75}})
    tracker.finish("finished")


def line(step: int) -> str:
    return json.dumps({"step": step, "time_s": step, "values": {"loss": step / 2}}) + "\n"


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


SWEEP_ID = "sweep-20261126-120000-ab12"


def open_sweep(runs: Path, experiment: str, uri: str | None = None, said: list | None = None):
    """Start or continue the sweep of an experiment."""
    folder = runs / experiment / SWEEP_ID
    folder.mkdir(parents=True, exist_ok=True)
    return _open(folder, runs, uri, said, experiment=experiment, run_name=f"sweep {experiment}")


def open_trial(runs: Path, experiment: str, number: int, uri: str | None = None):
    """Start or continue one trial; trials of one sweep have different numbers."""
    name = f"{experiment} lr={number}"
    part_of = TrialOf(folder=runs / experiment / SWEEP_ID, name=name)
    folder = runs / experiment / f"run-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    return _open(folder, runs, uri, None, experiment=experiment, run_name=name, part_of=part_of)


def _open(folder: Path, runs: Path, uri: str | None, said: list | None, **names):
    say = (said if said is not None else []).append
    settings = TrackingSettings(uri=uri)
    return Tracker.open(folder, settings, runs, params={}, tags={}, on_warning=say, **names)


def train_some(runs: Path, experiment: str, number: int, steps: range, uri: str | None = None):
    """Let a trial train from the first to the last step of a range."""
    trial = open_trial(runs, experiment, number, uri)
    file = runs / experiment / f"run-{number}" / "metrics.jsonl"
    stage = trial.stage("train")
    stage.follow(file)
    with file.open("a") as written:
        written.writelines(line(step) for step in steps)
    return trial
