"""A trial only writes; its sweep's courier delivers, and is started again when it dies."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gimbal.experiment.settings import TrackingSettings
from gimbal.experiment.sweep_record import TrialOf
from gimbal.tracking import Tracker, courier_process
from gimbal.tracking.courier_keeping import CourierKeeper
from gimbal.tracking.outbox import outbox_file, read_entries
from gimbal.tracking.state import load_identity

SWEEP = "nbv/sweep-20261126-120000-ab12"


class FakeProcess:
    """Stands for a courier process: remembers who was started with what."""

    started: list[list[str]]

    def __init__(self, arguments, uri, log, on_warning, *, on_end=lambda: None) -> None:
        self.started.append(arguments)
        self.alive = True
        self.ended = on_end

    def close(self, timeout_s: float) -> None:
        self.alive = False


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    FakeProcess.started = []
    monkeypatch.setattr("gimbal.tracking.courier_keeping.CourierProcess", FakeProcess)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@sweeps-store")
    return FakeProcess.started


def test_a_trial_starts_no_courier_waits_for_none_and_goes_where_its_sweep_goes(
    tmp_path: Path, processes: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = TrialOf(folder=tmp_path / SWEEP, name="lr=1 seed=0")
    facts = {"experiment": "nbv", "params": {}, "tags": {}, "on_warning": print}
    settings = TrackingSettings()
    sweep = Tracker.open(part.folder, settings, tmp_path, run_name="sweep", **facts)
    assert processes == [[str(part.folder), str(tmp_path)]]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another-on-this-node")
    run_dir = tmp_path / "nbv" / "run-1"
    trial = Tracker.open(run_dir, settings, tmp_path, run_name=part.name, part_of=part, **facts)
    trial.stage("train").finish("finished")
    trial.finish("finished")
    began = time.monotonic()
    assert trial.close(60.0) == trial.close(60.0) == 4
    assert time.monotonic() - began < 1.0
    assert len(processes) == 1
    identity = load_identity(run_dir)
    assert (identity.uri, identity.part_of) == ("http://user:…@sweeps-store", SWEEP)
    opening, stage, *_ = [e.record for e in read_entries(outbox_file(run_dir), 0)]
    assert (opening.name, stage.name) == ("lr=1 seed=0", "train · lr=1 seed=0")
    assert opening.tags["gimbal.sweep"] == SWEEP
    assert opening.tags["gimbal.trial"] == "lr=1 seed=0"
    assert sweep.close(1.0) == 5, "its own opening and what its trial left"


def test_a_trial_of_a_sweep_that_is_not_tracked_delivers_itself(
    tmp_path: Path, processes: list
) -> None:
    run_dir = tmp_path / "nbv" / "run-1"
    Tracker.open(
        run_dir,
        TrackingSettings(),
        tmp_path,
        experiment="nbv",
        run_name="lr=1",
        params={},
        tags={},
        on_warning=print,
        part_of=TrialOf(folder=tmp_path / SWEEP, name="lr=1"),
    )
    assert processes == [[str(run_dir), str(tmp_path)]]
    assert load_identity(run_dir).part_of == ""


def test_a_courier_that_dies_is_started_again_until_the_run_closes(
    processes: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gimbal.tracking.courier_keeping._FIRST_PAUSE_S", 0.0)
    made: list[FakeProcess] = []

    def start(ended) -> FakeProcess:
        made.append(FakeProcess([], "", Path(), print, on_end=ended))
        return made[-1]

    keeper = CourierKeeper(start, print)
    keeper.ensure()
    keeper.ensure()
    assert len(made) == 1
    made[0].alive = False
    made[0].ended()
    assert len(made) == 2
    keeper.close(1.0)
    made[1].ended()
    assert len(made) == 2


def test_closing_does_not_wait_for_the_pause_before_a_restart(processes: list) -> None:
    made: list[FakeProcess] = []

    def start(ended) -> FakeProcess:
        made.append(FakeProcess([], "", Path(), print, on_end=ended))
        return made[-1]

    keeper = CourierKeeper(start, print)
    keeper.ensure()
    made[0].alive = False
    pausing = threading.Thread(target=made[0].ended)
    pausing.start()
    keeper.close(1.0)
    pausing.join(2.0)
    assert not pausing.is_alive()
    assert len(made) == 2, "one more, to deliver what is left"


def test_a_process_that_ends_tells_so(tmp_path: Path) -> None:
    ended = threading.Event()
    process = courier_process.CourierProcess(
        [str(tmp_path), str(tmp_path)],
        "sqlite:///nowhere.db",
        tmp_path / "log",
        print,
        on_end=ended.set,
    )
    assert ended.wait(30.0), "there is no run to deliver, so it ends at once"
    process.wait(5.0)
