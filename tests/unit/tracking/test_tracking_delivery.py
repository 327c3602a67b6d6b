"""Everything reaches the store once and in order, whatever breaks in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gimbal.tracking.delivery import Delivery
from gimbal.tracking.outbox import Outbox
from gimbal.tracking.records import (
    Finish,
    FollowMetrics,
    LogArtifact,
    LogMetrics,
    OpenRun,
    OpenStage,
    Record,
    SetTags,
    WatchCheckpoints,
)
from gimbal.tracking.state import EMBEDDED, Identity, identify, remaining
from gimbal.tracking.store import StoreLost, StoreRefused, StoreUnavailable

OPEN = OpenRun(at_ms=1, experiment="nbv", name="run-1", params={"seed": "0"}, tags={"a": "b"})
STAGE = OpenStage(at_ms=2, run="train")


class Run:
    """A run folder, its outbox and what was said to the user."""

    def __init__(self, runs_dir: Path, store) -> None:
        self.dir = runs_dir / "nbv" / "run-1"
        self.dir.mkdir(parents=True)
        self.identity: Identity = identify(self.dir, f"sqlite:///{runs_dir}/mlflow.db", runs_dir)
        self.box = Outbox(self.dir)
        self.store = store
        self.said: list[str] = []

    def write(self, *records: Record) -> None:
        for record in records:
            self.box.append(record)

    def delivery(self) -> Delivery:
        return Delivery(self.dir, self.identity, self.store, self.said.append)

    def deliver(self) -> None:
        delivery = self.delivery()
        while delivery.step():
            pass


@pytest.fixture
def run(tmp_path: Path, store) -> Run:
    return Run(tmp_path, store)


def metrics(step: int, **values: float) -> LogMetrics:
    return LogMetrics(at_ms=100 + step, run="train", values=values, step=step)


def test_a_run_becomes_a_parent_with_a_child_per_stage(run: Run, store) -> None:
    run.write(OPEN, STAGE, metrics(1, loss=0.5), Finish(at_ms=9, run="train", status="finished"))
    run.write(SetTags(at_ms=10, values={"gimbal.data": "abc"}), Finish(at_ms=11, status="finished"))
    run.deliver()
    parent, child = store.run_named("run-1"), store.run_named("train")
    assert store.tags[child]["mlflow.parentRunId"] == parent
    assert store.tags[parent] == {"a": "b", "gimbal.data": "abc"}
    assert store.params[parent] == {"seed": "0"}
    assert store.series("train", "loss") == [(1, 0.5)]
    assert store.status == {parent: "finished", child: "finished"}
    assert remaining(run.dir) == 0


def test_waiting_metrics_are_sent_many_at_a_time(run: Run, store) -> None:
    run.write(OPEN, STAGE, *(metrics(step, a=step, b=step) for step in range(1200)))
    run.deliver()
    sizes = [call[2] for call in store.calls if call[0] == "metrics"]
    assert sizes == [1000, 1000, 400]
    assert [step for step, _ in store.series("train", "b")] == list(range(1200))


def test_an_outage_at_any_call_loses_and_repeats_nothing(
    run: Run, store, outage: StoreUnavailable
) -> None:
    """Every call fails once; a new process takes over after each failure."""
    run.write(OPEN, STAGE, metrics(1, loss=1.0), SetTags(at_ms=5, values={"x": "y"}))
    run.write(metrics(2, loss=2.0), LogArtifact(at_ms=6, path=str(run.dir), name="report.html"))
    run.write(Finish(at_ms=9, run="train", status="finished"), Finish(at_ms=9, status="finished"))
    failures = 0
    for _ in range(100):
        store.failures = [None] * (failures // 2) + [outage]
        try:
            run.deliver()
        except StoreUnavailable:
            failures += 1
        else:
            break
    assert failures > 5
    assert len(store.run_ids) == 2
    assert store.series("train", "loss") == [(1, 1.0), (2, 2.0)]
    assert set(store.status.values()) == {"finished"}


def test_a_crash_before_the_offset_is_kept_repeats_the_same_points(run: Run, store) -> None:
    """Same name, step, time and value: what an SQL store recognises as one point."""
    run.write(OPEN, STAGE, metrics(1, loss=1.0))
    run.deliver()
    for state in run.dir.glob("tracking/delivered-*.json"):
        state.unlink()
    run.deliver()
    points = store.points[store.run_named("train")]
    assert len(points) == 2
    assert len(set(points)) == 1
    assert len(store.run_ids) == 2, "runs are found again by key"


def test_a_continued_run_reopens_its_runs_and_reads_only_what_is_new(run: Run, store) -> None:
    run.write(OPEN, STAGE, metrics(1, loss=1.0), Finish(at_ms=5, status="killed"))
    run.deliver()
    child = store.run_named("train")
    assert store.status[child] == "killed", "open stages end with their run"
    run.write(OPEN, STAGE, metrics(2, loss=2.0))
    run.deliver()
    assert store.status[child] == "running"
    run.write(Finish(at_ms=9, status="finished"))
    run.deliver()
    assert set(store.status.values()) == {"finished"}
    assert store.series("train", "loss") == [(1, 1.0), (2, 2.0)]
    assert len(store.run_ids) == 2


def test_a_refused_record_is_named_and_does_not_hold_up_the_rest(run: Run, store) -> None:
    run.write(OPEN, STAGE, metrics(1, loss=1.0), LogArtifact(at_ms=3, path="/x", name="plot.png"))
    run.write(SetTags(at_ms=4, run="train", values={"after": "it"}))
    run.delivery().step()
    run.write(LogArtifact(at_ms=3, path="/x", name="plot.png"), metrics(2, loss=2.0))
    store.failures = [StoreRefused("too large")]
    run.deliver()
    assert run.said == ["MLflow refused the artifact plot.png, which is left out: too large"]
    assert store.series("train", "loss") == [(1, 1.0), (2, 2.0)]


def test_a_record_that_always_breaks_an_answering_store_is_left_out(
    run: Run, store, outage: StoreUnavailable
) -> None:
    run.write(OPEN)
    run.deliver()
    run.write(SetTags(at_ms=4, values={"poison": "1"}), SetTags(at_ms=5, values={"good": "1"}))
    store.failures = [outage] * 5
    delivery = run.delivery()
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            delivery.step()
    delivery.step()
    assert "good" in store.tags[store.run_named("run-1")]
    assert "left out" in run.said[0]


def test_a_replaced_database_is_told_everything_again(run: Run, store) -> None:
    run.write(OPEN, STAGE, metrics(1, loss=1.0))
    run.deliver()
    store.run_ids.clear()
    store.points.clear()
    run.write(metrics(2, loss=2.0))
    store.failures = [StoreLost("no such run")]
    run.deliver()
    assert store.series("train", "loss") == [(1, 1.0), (2, 2.0)]
    assert "told everything again" in run.said[0]


def test_another_store_gets_the_run_from_its_beginning(run: Run, store, tmp_path: Path) -> None:
    run.write(OPEN, STAGE, metrics(1, loss=1.0))
    run.deliver()
    run.identity = identify(run.dir, "http://host:5000", tmp_path)
    store.run_ids.clear()
    run.deliver()
    assert len(store.run_ids) == 2


def test_the_key_stays_when_the_store_changes_and_the_embedded_store_may_move(
    run: Run, tmp_path: Path
) -> None:
    other = identify(run.dir, "http://host:5000", tmp_path)
    assert (other.key, run.identity.uri) == (run.identity.key, EMBEDDED)


@pytest.fixture
def training_files(run: Run) -> tuple[Path, Callable[[dict], None]]:
    metrics_file = run.dir / "metrics.jsonl"
    metrics_file.write_text("")
    index = run.dir / "checkpoints" / "index.json"
    index.parent.mkdir()

    def write_index(tree: dict) -> None:
        index.write_text(json.dumps(tree))

    run.write(OPEN, STAGE, FollowMetrics(at_ms=3, run="train", path=str(metrics_file)))
    run.write(WatchCheckpoints(at_ms=4, run="train", path=str(index)))
    return metrics_file, write_index


def append(path: Path, *steps: int) -> None:
    with path.open("a") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "time_s": step, "values": {"loss": step}}) + "\n")


def test_a_followed_file_is_sent_as_it_grows_and_to_its_end_at_finish(
    run: Run, store, training_files
) -> None:
    path, _ = training_files
    delivery = run.delivery()
    append(path, 0, 1)
    while delivery.step():
        pass
    assert [step for step, _ in store.series("train", "loss")] == [0, 1]
    append(path, *range(2, 2500))
    run.write(Finish(at_ms=9, run="train", status="finished"))
    delivery.step()
    assert [step for step, _ in store.series("train", "loss")] == list(range(2500))
    append(path, 2500)
    assert not delivery.step(), "an ended stage is not followed"
    assert remaining(run.dir) == 0


def test_what_a_killed_run_left_in_its_file_counts_as_waiting(run: Run, training_files) -> None:
    run.deliver()
    append(training_files[0], 0, 1, 2)
    assert remaining(run.dir) == 3
    run.deliver()
    assert remaining(run.dir) == 0


def checkpoint(step: int) -> dict:
    name = f"step-{step:08d}"
    return {"path": name, "sha256": f"hash{step}", "step": step, "metrics": {"val/auc": step / 10}}


def test_every_kept_checkpoint_is_recorded_and_the_best_becomes_an_artifact(
    run: Run, store, training_files
) -> None:
    _, write_index = training_files
    delivery = run.delivery()
    write_index({"checkpoints": [checkpoint(1), checkpoint(2)], "best": "step-00000001"})
    while delivery.step():
        pass
    write_index({"checkpoints": [checkpoint(2), checkpoint(3)], "best": "step-00000003"})
    run.write(Finish(at_ms=9, run="train", status="finished"))
    while delivery.step():
        pass
    child = store.run_named("train")
    recorded = {
        name: json.loads(value)
        for name, value in store.tags[child].items()
        if name.startswith("gimbal.checkpoint.step")
    }
    assert {name[-1]: (r["sha256"], r["step"], r["metrics"]) for name, r in recorded.items()} == {
        "2": ("hash2", 2, {"val/auc": 0.2}),
        "3": ("hash3", 3, {"val/auc": 0.3}),
    }, "a checkpoint that was removed from the disk is not recorded any more"
    uri = recorded["gimbal.checkpoint.step-00000003"]["uri"]
    assert uri == (run.dir / "checkpoints" / "step-00000003").as_uri()
    assert store.tags[child]["gimbal.checkpoint.best"] == "step-00000003"
    uploads = [name for name in store.artifacts[child] if "step" in name]
    assert uploads == ["checkpoints/step-00000003"], "only the last best one is copied"


def test_a_reused_stage_says_so(run: Run, store) -> None:
    run.write(OPEN, STAGE, Finish(at_ms=3, run="train", status="reused"))
    run.deliver()
    assert store.tags[store.run_named("train")]["gimbal.reused"] == "true"
