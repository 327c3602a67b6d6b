"""Runs tracked for real: MLflow, SQLite and the courier process."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_runs import CLOSE_S, Database, open_tracker, wait_until

from gimbal.experiment.settings import TrackingSettings
from gimbal.tracking import NullTracker, Tracker, sync
from gimbal.tracking.outbox import Outbox
from gimbal.tracking.records import Finish, LogMetrics, OpenRun
from gimbal.tracking.state import identify, remaining


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_two_runs_share_a_new_store(two_runs: Path) -> None:
    database = Database(two_runs / "mlflow.db")
    ids = database.run_ids()
    assert set(ids) == {"run-1", "run-2", "train-1", "train-2"}
    assert database.rows("select count(*) from experiments where name = 'nbv'") == [(1,)]
    assert list(two_runs.glob(".mlflow.db.new-*")) == [], "databases are built aside and moved in"
    assert {database.status(name) for name in ids} == {"FINISHED"}
    assert database.tags("train-2")["mlflow.parentRunId"] == ids["run-2"]
    assert database.tags("train-1")["gimbal.data"] == "fingerprint"
    assert database.tags("run-1")["gimbal.run_dir"] == str(two_runs / "nbv" / "run-1")


def test_numbers_params_and_gates_arrive(two_runs: Path) -> None:
    database = Database(two_runs / "mlflow.db")
    assert database.series("train-1", "loss") == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert database.series("run-1", "auc.policy") == [(0, 0.75)]
    assert database.series("train-1", "gate.learns") == [(0, 0.0)]
    assert database.tags("train-1")["gate.learns"] == "failed: loss = 2, wanted < 1"
    params = dict(database.rows("select key, value from params"))
    assert params["train.lr"] == "0.1"
    assert len(params["notes"]) == 6000


def test_artifacts_lie_in_the_runs_folder(two_runs: Path) -> None:
    artifacts = two_runs / "mlartifacts" / "nbv"
    found = {str(p.relative_to(artifacts)).partition("artifacts/")[2] for p in files(artifacts)}
    assert found == {
        "report.html",
        "raw/numbers.jsonl",
        "checkpoints/index.json",
        "checkpoints/step-00000002/model.pt",
    }


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_an_outage_costs_the_run_no_time_and_no_record(runs: Path, tmp_path: Path) -> None:
    """The store's folder is a file until the run has logged everything."""
    store = tmp_path / "store"
    store.write_text("in the way")
    said: list[str] = []
    began = time.perf_counter()
    tracker = open_tracker(runs, uri=f"sqlite:///{store}/mlflow.db", said=said)
    stage = tracker.stage("train")
    for step in range(1000):
        stage.metrics({"loss": step}, step=step)
    assert time.perf_counter() - began < 2.0
    wait_until(lambda: any("does not answer" in sentence for sentence in said))
    store.unlink()
    store.mkdir()
    whole = shutil.copy(runs / "mlflow.db", tmp_path / "copied.db")
    Path(whole).rename(store / "mlflow.db")  # half a file would be another outage
    wait_until(lambda: any("answers again" in sentence for sentence in said))
    stage.finish("finished")
    tracker.finish("finished")
    assert tracker.close(CLOSE_S) == 0
    database = Database(store / "mlflow.db")
    assert database.series("train", "loss") == [(step, float(step)) for step in range(1000)]
    assert set(database.run_ids()) == {"run-1", "train"}


DRIVER = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from mlflow_runs import open_tracker
tracker = open_tracker(Path({runs!r}))
tracker.stage("train").metrics({{"loss": 1.0}}, step=1)
print("logged", flush=True)
sys.stdin.read()
"""


def test_a_killed_run_is_shown_as_killed_and_continues_where_it_was(runs: Path) -> None:
    script = DRIVER.format(tests=str(Path(__file__).parent), runs=str(runs))
    driver = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert driver.stdout is not None
    driver.stdout.readline()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    run_dir = runs / "nbv" / "run-1"
    wait_until(lambda: remaining(run_dir) == 0 and Database(runs / "mlflow.db").run_ids() != {})
    database = Database(runs / "mlflow.db")
    ids = database.run_ids()
    assert {database.status(name) for name in ids} == {"KILLED"}

    tracker = open_tracker(runs)
    tracker.stage("train").metrics({"loss": 0.5}, step=2)
    tracker.finish("finished")
    assert tracker.close(CLOSE_S) == 0
    database = Database(runs / "mlflow.db")
    assert database.run_ids() == ids
    assert database.series("train", "loss") == [(1, 1.0), (2, 0.5)]
    assert database.status("train") == database.status("run-1") == "FINISHED"


class Hanging(http.server.BaseHTTPRequestHandler):
    """Takes requests and never answers them."""

    def handle(self) -> None:
        time.sleep(600)


@pytest.fixture
def hanging_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hanging_server_cannot_hold_up_the_end_of_a_run(runs: Path, hanging_server: str) -> None:
    said: list[str] = []
    tracker = open_tracker(runs, uri=hanging_server, said=said)
    tracker.metrics({"auc": 0.5})
    tracker.finish("finished")
    began = time.monotonic()
    assert tracker.close(1.0) == 3
    assert time.monotonic() - began < 5.0
    assert "3 tracking records are not in MLflow" in said[-1]
    assert "gimbal ui" in said[-1]


def test_sync_delivers_what_a_closed_run_kept(runs: Path) -> None:
    run_dir = runs / "nbv" / "run-1"
    identify(run_dir, f"sqlite:///{runs}/mlflow.db", runs)
    box = Outbox(run_dir)
    box.append(OpenRun(at_ms=1, experiment="nbv", name="run-1"))
    box.append(LogMetrics(at_ms=2, values={"auc": 0.5}))
    box.append(Finish(at_ms=3, status="finished"))
    assert remaining(run_dir) == 3
    report = sync(runs, on_warning=print)
    assert (report.delivered, dict(report.remaining)) == ((run_dir,), {})
    assert Database(runs / "mlflow.db").series("run-1", "auc") == [(0, 0.5)]
    assert str(sync(runs, on_warning=print)) == "MLflow has everything"


def test_switched_off_it_leaves_no_trace(tmp_path: Path) -> None:
    settings = TrackingSettings(enabled=False)
    names = {"experiment": "nbv", "run_name": "r", "params": {}, "tags": {}}
    tracker = Tracker.open(tmp_path, settings, tmp_path, on_warning=print, **names)
    assert isinstance(tracker, NullTracker)
    tracker.stage("train").metrics({"loss": 1.0})
    assert tracker.close(1.0) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_the_tracking_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "nbv" / "run-1").mkdir(parents=True)
    (tmp_path / "nbv" / "run-1" / "tracking").write_text("in the way")
    said: list[str] = []
    tracker = open_tracker(tmp_path, said=said)
    tracker.metrics({"auc": 0.5})
    assert "not tracked" in said[0]


def test_importing_tracking_imports_nothing_heavy() -> None:
    heavy = "{'mlflow', 'torch', 'ray', 'pandas', 'numpy', 'sqlalchemy'}"
    code = f"import sys, gimbal.tracking; print(sorted({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "[]"
