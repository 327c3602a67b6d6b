"""A real MLflow server dies in the middle of a run and comes back; nothing is lost or doubled."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from gimbal.cli.ui import UiServer
from gimbal.experiment.settings import TrackingSettings
from gimbal.tracking import Tracker, sync


def start(store: Path, port: int) -> UiServer:
    server = UiServer.start(f"sqlite:///{store}/mlflow.db", "127.0.0.1", port)
    server.wait_until_ready(120.0)
    return server


def kill(server: UiServer) -> None:
    server._signal(signal.SIGKILL)
    server.process.wait()


def series(client, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run_id, metric)]


@pytest.mark.slow
def test_a_server_killed_and_restarted_gets_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    runs, store = tmp_path / "runs", tmp_path / "store"
    run_dir = runs / "nbv" / "run-1"
    run_dir.mkdir(parents=True)
    store.mkdir()
    said: list[str] = []
    server = start(store, port)
    tracker = Tracker.open(
        run_dir,
        TrackingSettings(uri=f"http://127.0.0.1:{port}"),
        runs,
        experiment="nbv",
        run_name="run-1",
        params={"lr": 0.1},
        tags={},
        on_warning=said.append,
    )
    stage = tracker.stage("train")
    for step in range(100):
        stage.metrics({"loss": step}, step=step)
    wait_for(lambda: (run_dir / "tracking").glob("delivered-*"))
    kill(server)
    began = time.perf_counter()
    for step in range(100, 5000):
        stage.metrics({"loss": step}, step=step)
    assert (time.perf_counter() - began) / 4900 < 0.001, "a call takes under a millisecond"
    wait_for(lambda: [words for words in said if "does not answer" in words])
    server = start(store, port)
    wait_for(lambda: [words for words in said if "answers again" in words])
    (run_dir / "report.html").write_text("<html></html>")
    tracker.artifact(run_dir / "report.html")
    wait_for(lambda: list(store.glob("mlartifacts/**/report.html")))
    kill(server)
    stage.finish("finished")
    tracker.finish("finished")
    assert tracker.close(10.0) == 2
    server = start(store, port)
    try:
        assert sync(runs, on_warning=said.append).delivered == (run_dir,)
        check(f"http://127.0.0.1:{port}")
    finally:
        server.stop()
        shutil.rmtree(store)


def check(uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("nbv")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"run-1", "train"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    history = series(client, runs["train"].info.run_id, "loss")
    assert sorted(history) == [(step, float(step)) for step in range(5000)]


def wait_for(condition, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not list(condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
