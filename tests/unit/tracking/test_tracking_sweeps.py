"""A sweep's courier brings the sweep and every trial to MLflow, fairly, once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.settings import ExperimentSettings
from gimbal.tracking import leftovers, membership
from gimbal.tracking.delivery import Delivery
from gimbal.tracking.outbox import Outbox, outbox_file, read_entries
from gimbal.tracking.records import (
    Finish,
    FollowMetrics,
    LogMetrics,
    OpenRun,
    OpenStage,
    Record,
    SetTags,
)
from gimbal.tracking.state import identify, load_identity, remaining
from gimbal.tracking.store import StoreLost, StoreRefused, StoreUnavailable
from gimbal.tracking.sweep_delivery import SweepDelivery

SWEEP = "nbv/sweep-20261126-120000-ab12"


class Lab:
    """A runs folder with a sweep, its trials, and what its courier said."""

    def __init__(self, runs_dir: Path, store) -> None:
        self.runs_dir, self.store = runs_dir, store
        self.sweep = runs_dir / SWEEP
        self.said: list[str] = []
        self.now = 0.0

    def write(self, run_dir: Path, *records: Record, part_of: str = SWEEP) -> Path:
        part_of = "" if run_dir == self.sweep else part_of
        identify(run_dir, f"sqlite:///{self.runs_dir}/mlflow.db", self.runs_dir, part_of)
        box = Outbox(run_dir)
        for record in records:
            box.append(record)
        box.close()
        return run_dir

    def open_sweep(self) -> None:
        self.write(self.sweep, OpenRun(at_ms=1, experiment="nbv", name="sweep"))

    def trial(self, name: str, steps: int = 0, part_of: str = SWEEP) -> Path:
        opening = OpenRun(at_ms=1, experiment="nbv", name=name)
        stage = OpenStage(at_ms=2, run="train", name=f"train · {name}")
        records = [number(step) for step in range(steps)]
        return self.write(self.runs_dir / "nbv" / name, opening, stage, *records, part_of=part_of)

    def courier(self) -> SweepDelivery:
        identity = load_identity(self.sweep)
        assert identity is not None
        clock = lambda: self.now  # noqa: E731
        return SweepDelivery(self.sweep, identity, self.store, self.said.append, clock)

    def parent(self, name: str) -> str | None:
        return self.store.tags[self.store.run_named(name)].get("mlflow.parentRunId")


def number(step: int) -> LogMetrics:
    return LogMetrics(at_ms=10 + step, run="train", values={"loss": step}, step=step)


def drain(delivery) -> None:
    while delivery.step():
        pass


@pytest.fixture
def lab(tmp_path: Path, store) -> Lab:
    return Lab(tmp_path, store)


def test_trials_hang_below_their_sweep_and_stages_below_their_trial(lab: Lab, store) -> None:
    lab.open_sweep()
    lab.trial("lr=1", steps=3)
    lab.trial("alone", part_of="")
    drain(lab.courier())
    assert lab.parent("lr=1") == store.run_named("sweep")
    assert lab.parent("train · lr=1") == store.run_named("lr=1")
    assert store.series("train · lr=1", "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert not any("alone" in run for run in store.run_ids.values()), "it is not the sweep's"


def test_trials_are_found_while_the_sweep_goes_on(lab: Lab, store) -> None:
    lab.open_sweep()
    courier = lab.courier()
    drain(courier)
    late = lab.trial("late", steps=2)
    drain(courier)
    assert remaining(late) == 0
    other = lab.trial("other", part_of="nbv/sweep-20261126-130000-cd34")
    drain(courier)
    assert remaining(other) == 2


def test_a_trial_delivered_first_makes_the_sweeps_run_and_the_sweep_takes_it(
    lab: Lab, store
) -> None:
    lab.open_sweep()
    lab.write(lab.sweep, SetTags(at_ms=3, values={"best": "lr=1"}))
    trial = lab.trial("lr=1")
    drain(Delivery(trial, load_identity(trial), store, lab.said.append))
    assert lab.parent("lr=1") == store.run_named("sweep")
    drain(lab.courier())
    assert store.tags[store.run_named("sweep")]["best"] == "lr=1"


def test_a_busy_trial_does_not_hold_up_the_others(lab: Lab, store) -> None:
    lab.open_sweep()
    busy = lab.trial("busy", steps=9000)
    quick = lab.trial("quick", steps=1)
    courier = lab.courier()
    while remaining(quick):
        assert courier.step()
    assert remaining(busy) > 4000
    drain(courier)
    assert len(store.series("train · busy", "loss")) == 9000


def test_a_new_trial_is_found_while_another_keeps_the_courier_busy(lab: Lab) -> None:
    lab.open_sweep()
    busy = lab.trial("busy", steps=9000)
    courier = lab.courier()
    courier.step(), courier.step(), courier.step()
    quick = lab.trial("quick", steps=1)
    lab.now = 10.0
    while remaining(quick):
        assert courier.step()
    assert remaining(busy) > 0


def test_an_outage_at_any_call_loses_and_repeats_nothing(
    lab: Lab, store, outage: StoreUnavailable
) -> None:
    lab.open_sweep()
    trials = [lab.trial(name, steps=5) for name in ("a", "b")]
    for trial in trials:
        lab.write(trial, Finish(at_ms=99, status="finished"))
    failures = 0
    for _ in range(100):
        store.failures = [None] * (failures // 2) + [outage]
        try:
            drain(lab.courier())
        except StoreUnavailable:
            failures += 1
        else:
            break
    assert failures > 5
    assert len(store.run_ids) == 5
    for name in ("a", "b"):
        assert store.series(f"train · {name}", "loss") == [(i, float(i)) for i in range(5)]


def test_one_trial_that_the_store_chokes_on_costs_the_others_a_turn_not_their_records(
    lab: Lab, store
) -> None:
    lab.open_sweep()
    courier = lab.courier()
    drain(courier)
    bad, good = lab.trial("bad", steps=1), lab.trial("good", steps=1)
    choke = store.log_metrics

    def log_metrics(run_id, points) -> None:
        if "bad" in run_id:
            raise StoreUnavailable("disk I/O error")
        choke(run_id, points)

    store.log_metrics = log_metrics
    for _ in range(20):
        try:
            courier.step()
        except StoreUnavailable:
            continue
    assert remaining(good) == 0
    assert remaining(bad) == 0
    assert "left out" in lab.said[-1]


def test_a_replaced_database_is_told_the_whole_sweep_again(lab: Lab, store) -> None:
    lab.open_sweep()
    ended, going = lab.trial("ended", steps=2), lab.trial("going", steps=2)
    lab.write(ended, Finish(at_ms=50, status="finished"))
    courier = lab.courier()
    drain(courier)
    before = dict(store.run_ids)
    store.run_ids.clear(), store.points.clear()
    lab.write(going, number(2))
    store.failures = [StoreLost("no run with this id")]
    drain(courier)
    assert set(store.run_ids) == set(before), "the same keys"
    assert store.series("train · ended", "loss") == [(0, 0.0), (1, 1.0)]
    assert store.series("train · going", "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert lab.parent("ended") == store.run_named("sweep")


def test_a_finished_trial_costs_nothing_until_it_is_continued(lab: Lab, store) -> None:
    lab.open_sweep()
    trial = lab.trial("a", steps=1)
    lab.write(trial, Finish(at_ms=50, status="killed"))
    courier = lab.courier()
    drain(courier)
    delivery = Delivery(trial, load_identity(trial), store, print)
    assert delivery.at_rest
    lab.write(trial, OpenRun(at_ms=60, experiment="nbv", name="a"), number(1))
    assert not delivery.at_rest
    drain(courier)
    assert store.status[store.run_named("a")] == "running"
    assert store.series("train · a", "loss") == [(0, 0.0), (1, 1.0)]


def test_a_trial_whose_sweep_is_gone_or_refused_stands_by_itself(lab: Lab, store) -> None:
    trial = lab.trial("orphan")
    identity = load_identity(trial)
    assert membership.lock_folder(trial, identity) == trial / "tracking"
    drain(Delivery(trial, identity, store, print))
    assert lab.parent("orphan") is None
    lab.open_sweep()
    refused = lab.trial("refused")
    store.failures = [None, None, StoreRefused("no")]
    drain(Delivery(refused, load_identity(refused), store, print))
    assert lab.parent("refused") is None
    assert lab.said == []


def test_a_sweep_and_its_trials_share_one_lock(lab: Lab) -> None:
    """So that no two couriers make the sweep's run, or send one trial, at the same time."""
    lab.open_sweep()
    trial, alone = lab.trial("a"), lab.trial("alone", part_of="")
    folders = [membership.lock_folder(d, load_identity(d)) for d in (lab.sweep, trial, alone)]
    assert folders == [lab.sweep / "tracking", lab.sweep / "tracking", alone / "tracking"]


def test_the_end_of_a_sweep_ends_trials_whose_process_died(lab: Lab) -> None:
    lab.open_sweep()
    died, ended = lab.trial("died"), lab.trial("ended")
    stranger = lab.trial("stranger", part_of="")
    lab.write(ended, Finish(at_ms=50, status="finished"))
    leftovers.mark_dead_trials(lab.sweep, patience_s=60.0)
    assert [last_status(run_dir) for run_dir in (died, ended)] == ["killed", "finished"]
    assert last_status(stranger) is None
    assert last_status(lab.sweep) is None


def test_a_trial_that_outlives_its_sweep_is_not_called_killed(lab: Lab) -> None:
    """A job of the service does; this process stands for it."""
    lab.open_sweep()
    config = ExperimentSettings(workload="nbv", experiment="nbv")
    living = lab.trial(RunFolder.create(lab.runs_dir, config).id)
    leftovers.mark_dead_trials(lab.sweep, patience_s=0.0)
    assert last_status(living) is None
    RunFolder(living).finish(RunStatus.INTERRUPTED, "it died")
    leftovers.mark_dead_trials(lab.sweep, patience_s=60.0)
    assert last_status(living) == "killed"


def last_status(run_dir: Path) -> str | None:
    record = list(read_entries(outbox_file(run_dir), 0))[-1].record
    return record.status if isinstance(record, Finish) else None


def test_a_run_shows_the_curves_of_its_first_training_stage(lab: Lab, store) -> None:
    """Trials overlay in MLflow's charts without unfolding their stages."""
    paths = [lab.runs_dir / "first.jsonl", lab.runs_dir / "second.jsonl"]
    for number_, path in enumerate(paths):
        path.write_text(f'{{"step": 1, "time_s": 1, "values": {{"train/loss": {number_}}}}}\n')
    lab.open_sweep()
    trial = lab.trial("a")
    lab.write(trial, OpenStage(at_ms=3, run="tune"))
    for stage, path in zip(("train", "tune"), paths, strict=True):
        for run in (stage, ""):
            lab.write(trial, FollowMetrics(at_ms=4, run=run, path=str(path)))
    drain(lab.courier())
    assert store.series("a", "train/loss") == [(1, 0.0)]
    assert store.series("train · a", "train/loss") == [(1, 0.0)]
    assert store.series("tune", "train/loss") == [(1, 1.0)]
