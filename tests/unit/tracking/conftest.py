"""A store that remembers what it was told and fails when scripted to; runs in a real one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mlflow_runs import CLOSE_S, open_tracker, track_one_run

from gimbal.tracking.following import Point
from gimbal.tracking.store import StoreUnavailable


class RecordingStore:
    """Speaks the `Store` port; `failures` are raised by the next calls, one each."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.points: dict[str, list[Point]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.params: dict[str, dict[str, str]] = {}
        self.artifacts: dict[str, list[str]] = {}
        self.status: dict[str, str] = {}
        self.run_ids: dict[str, str] = {}
        self.failures: list[Exception | None] = []
        self.answering = True

    def _call(self, *call: object) -> None:
        self.calls.append(call)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure

    def ensure_experiment(self, name: str) -> str:
        self._call("experiment", name)
        return f"experiment-{name}"

    def ensure_run(
        self, experiment_id: str, *, key: str, name: str, start_ms: int, tags: Mapping[str, str]
    ) -> str:
        self._call("run", name)
        run_id = self.run_ids.setdefault(key, f"id-{name}-{len(self.run_ids)}")
        self.tags.setdefault(run_id, {}).update(tags)
        return run_id

    def reopen(self, run_id: str) -> None:
        self._call("reopen", run_id)
        self.status[run_id] = "running"

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        self._call("params", run_id)
        self.params.setdefault(run_id, {}).update(params)

    def log_metrics(self, run_id: str, points: Sequence[Point]) -> None:
        self._call("metrics", run_id, len(points))
        self.points.setdefault(run_id, []).extend(points)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._call("tags", run_id)
        self.tags.setdefault(run_id, {}).update(tags)

    def drop_tags(self, run_id: str, names: Sequence[str]) -> None:
        self._call("drop_tags", run_id)
        for name in names:
            self.tags[run_id].pop(name, None)

    def log_artifact(self, run_id: str, path: Path, name: str) -> None:
        self._call("artifact", run_id, name)
        self.artifacts.setdefault(run_id, []).append(name)

    def finish(self, run_id: str, status: str, end_ms: int) -> None:
        self._call("finish", run_id, status)
        self.status[run_id] = status

    def answers(self) -> bool:
        return self.answering

    def run_named(self, name: str) -> str:
        """The only run id made for a name."""
        (run_id,) = [run_id for run_id in self.run_ids.values() if f"-{name}-" in run_id]
        return run_id

    def series(self, run: str, metric: str) -> list[tuple[int, float]]:
        """The points of a metric as `(step, value)`, in order of arrival."""
        points = self.points.get(self.run_named(run), [])
        return [(p.step, p.value) for p in points if p.name == metric]


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()


@pytest.fixture
def outage() -> StoreUnavailable:
    return StoreUnavailable("connection refused")


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh runs folder that two runs of one experiment open at the same moment."""
    runs = tmp_path_factory.mktemp("two") / "runs"
    runs.mkdir()
    (runs / ".mlflow.db.new-1").write_text("the database a killed process was building")
    trackers = [open_tracker(runs, f"run-{i}") for i in (1, 2)]
    for number, tracker in enumerate(trackers, start=1):
        track_one_run(runs / "nbv" / f"run-{number}", tracker, f"train-{number}")
    assert [tracker.close(CLOSE_S) for tracker in trackers] == [0, 0]
    return runs


@pytest.fixture
def runs(two_runs: Path, tmp_path: Path) -> Path:
    """A runs folder whose database is set up already."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(two_runs / "mlflow.db", folder)
    database = sqlite3.connect(folder / "mlflow.db")
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        database.execute(f"delete from {table}")
    database.execute("delete from experiments where name = 'nbv'")
    database.commit()
    database.close()
    return folder
