"""Sweeps in a real MLflow store, whose server, driver and courier are killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow_runs import SWEEP_ID, Database, open_sweep, train_some, wait_until

from gimbal.cli.ui import UiServer
from gimbal.tracking import sync
from gimbal.tracking.state import remaining

STEPS = 300


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from mlflow_runs import open_sweep, train_some
runs, experiment, first, last, end = Path({runs!r}), *sys.argv[1:]
sweep = open_sweep(runs, experiment)
trials = [train_some(runs, experiment, n, range(int(first), int(last))) for n in range(2)]
print("logged", flush=True)
if end == "wait":
    sys.stdin.read()
for trial in trials:
    trial.finish("finished")
    trial.close(60.0)
sweep.tags({{"best": {{"lr": 1}}}})
sweep.finish("finished")
print(sweep.close(200.0), flush=True)
"""


def drive(runs: Path, experiment: str, steps: range, end: str) -> subprocess.Popen:
    script = DRIVER.format(tests=str(Path(__file__).parent), runs=str(runs))
    arguments = [experiment, str(steps.start), str(steps.stop), end]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def check(runs: Path, experiments: list[str], status: str, steps: int) -> None:
    """Everything is there, exactly once, and hangs together."""
    database = Database(runs / "mlflow.db")
    ids = database.run_ids()
    assert len(ids) == 5 * len(experiments)
    assert {database.status(name) for name in ids} == {status}
    for experiment in experiments:
        for number in range(2):
            trial = f"{experiment} lr={number}"
            parents = [database.tags(name)["mlflow.parentRunId"] for name in (trial, train(trial))]
            assert parents == [ids[f"sweep {experiment}"], ids[trial]]
            for name in (trial, train(trial)):
                assert database.series(name, "loss") == [(i, i / 2) for i in range(steps)]
    assert database.rows("select count(*) from metrics") == [(4 * steps * len(experiments),)]


def train(trial: str) -> str:
    return f"train · {trial}"


def test_a_killed_sweep_is_shown_as_killed_and_goes_on_where_it_was(runs: Path) -> None:
    driver = drive(runs, "nbv", range(STEPS), "wait")
    assert driver.stdout is not None
    driver.stdout.readline()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    wait_until(lambda: Database(runs / "mlflow.db").statuses() == ["KILLED"] * 5, 120.0)
    check(runs, ["nbv"], "KILLED", STEPS)
    driver = drive(runs, "nbv", range(STEPS, 2 * STEPS), "end")
    assert driver.communicate()[0].split() == ["logged", "0"]
    check(runs, ["nbv"], "FINISHED", 2 * STEPS)
    assert Database(runs / "mlflow.db").tags("sweep nbv")["best.lr"] == "1"


@pytest.mark.slow
def test_four_sweeps_write_to_one_database_at_once(runs: Path) -> None:
    names = ["a", "b", "c", "d"]
    drivers = [drive(runs, name, range(2000), "end") for name in names]
    assert [driver.communicate()[0].split() for driver in drivers] == [["logged", "0"]] * 4
    check(runs, names, "FINISHED", 2000)


@pytest.fixture
def server(runs: Path) -> Iterator[Server]:
    server = Server(runs)
    yield server
    server.kill()


class Server:
    """An MLflow server on the database of a runs folder, always at the same address."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._server = UiServer.start(f"sqlite:///{self._runs}/mlflow.db", "127.0.0.1", self._port)
        self._server.wait_until_ready(180.0)

    def kill(self) -> None:
        self._server._signal(signal.SIGKILL)
        self._server.process.wait()


@pytest.mark.slow
def test_a_sweep_outlives_its_server_and_its_courier(runs: Path, server: Server) -> None:
    said: list[str] = []
    sweep = open_sweep(runs, "nbv", server.uri, said)
    first = train_some(runs, "nbv", 0, range(STEPS), server.uri)
    wait_until(lambda: remaining(runs / "nbv" / "run-0") == 0, 180.0)
    server.kill()
    second = train_some(runs, "nbv", 1, range(STEPS), server.uri)
    first.finish("finished")
    wait_until(lambda: any("does not answer" in words for words in said), 180.0)
    courier = only_courier(runs)
    courier.kill()
    server.start()
    wait_until(lambda: remaining(runs / "nbv" / "run-1") == 0, 180.0)
    assert only_courier(runs).pid != courier.pid
    server.kill()
    second.finish("finished")
    sweep.finish("finished")
    assert sweep.close(3.0) == 2, "the ends of the second trial and of the sweep"
    server.start()
    report = sync(runs, on_warning=said.append, timeout_s=180.0)
    assert set(report.delivered) == {runs / "nbv" / "run-1", runs / "nbv" / SWEEP_ID}
    check(runs, ["nbv"], "FINISHED", STEPS)


def only_courier(runs: Path) -> psutil.Process:
    (courier,) = [
        child
        for child in psutil.Process().children()
        if "gimbal.tracking.courier" in child.cmdline() and str(runs) in child.cmdline()
    ]
    return courier
