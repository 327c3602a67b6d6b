"""Guards, failure verdicts, metrics files and words for people."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import pytest

from gimbal.errors import StageFailed, StorageError
from gimbal.training.failures import Kind, WorkerFailure, is_lost_peer, judge, recorded
from gimbal.training.guards import DivergenceGuard
from gimbal.training.metrics import MetricsTail, MetricsWriter, cut_back, read_metrics
from gimbal.training.running import in_words
from gimbal.training.settings import TrainSettings

SETTINGS = TrainSettings(steps=10, global_batch=1, divergence_factor=3.0, divergence_patience=20)


def feed(guard: DivergenceGuard, level: float, steps: int) -> None:
    for step in range(steps):
        guard.check(level, step)


@pytest.mark.parametrize("start", [1.0, -1.0, 1e-3])
def test_a_loss_that_stays_high_stops_the_run(start: float) -> None:
    guard = DivergenceGuard(SETTINGS)
    feed(guard, start, 100)
    with pytest.raises(StageFailed, match="diverged") as caught:
        feed(guard, start + 100 * abs(start), 500)
    assert "divergence_factor" in caught.value.remedy


def test_a_spike_passes_and_a_guard_can_be_switched_off() -> None:
    guard = DivergenceGuard(SETTINGS)
    feed(guard, 1.0, 100)
    feed(guard, 30.0, 3)
    feed(guard, 1.0, 300)
    off = DivergenceGuard(SETTINGS.model_copy(update={"divergence_factor": None}))
    feed(off, 1.0, 100)
    feed(off, 1e9, 1000)


def test_a_guard_remembers_across_a_resume() -> None:
    one, two = DivergenceGuard(SETTINGS), DivergenceGuard(SETTINGS)
    feed(one, 1.0, 70)
    two.restore(json.loads(json.dumps(one.state())))
    assert two.state() == one.state()


def failure(kind: Kind, what: str = "ValueError: x", step: int = 3) -> WorkerFailure:
    return WorkerFailure(
        kind,
        what,
        1,
        step,
        "trace.txt",
        StorageError("full", "free it") if kind is Kind.GIMBAL else None,
    )


@pytest.mark.parametrize(
    ("now", "before", "stops"),
    [
        ([failure(Kind.CODE)], [], False),
        ([failure(Kind.CODE)], [failure(Kind.CODE)], True),
        ([failure(Kind.CODE)], [failure(Kind.CODE, step=4)], False),
        ([failure(Kind.CODE)], [failure(Kind.CODE, "KeyError: y")], False),
        ([failure(Kind.GIMBAL)], [], True),
        ([failure(Kind.PEER)], [failure(Kind.PEER)] * 5, False),
        ([RuntimeError("actor died"), failure(Kind.PEER)], [], False),
        ([failure(Kind.PEER), failure(Kind.GIMBAL)], [], True),
    ],
)
def test_only_what_will_happen_again_stops_a_run(
    now: list[Exception], before: list[WorkerFailure], stops: bool
) -> None:
    assert (judge(dict(enumerate(now)), before).stop is not None) is stops


def test_failures_are_classified_recorded_and_cross_processes(tmp_path: Path) -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    assert is_lost_peer(lost) and not is_lost_peer(ValueError("gloo"))
    assert recorded(lost, rank=0, step=1, out_dir=tmp_path).kind is Kind.PEER
    try:
        raise KeyError("missing")
    except KeyError as error:
        found = recorded(error, rank=2, step=7, out_dir=tmp_path)
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.kind, copy.rank, copy.step, copy.what) == (Kind.CODE, 2, 7, "KeyError: 'missing'")
    assert "raise KeyError" in Path(found.file).read_text()
    told = copy.for_user()
    assert (
        isinstance(told, StageFailed) and "at step 7" in told.message and found.file in told.remedy
    )


def test_our_own_errors_come_through_unchanged(tmp_path: Path) -> None:
    found = recorded(StorageError("disk full", "free it"), rank=0, step=-1, out_dir=tmp_path)
    told = pickle.loads(pickle.dumps(found)).for_user()
    assert isinstance(told, StorageError) and told.remedy == "free it"


def test_metrics_are_written_in_order_and_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)
    for step in range(1, 8):
        writer.put(step, {"loss": 1 / step, "bad": math.nan})
    writer.close()
    with path.open("a") as file:
        file.write('{"step": 8, "time')
    assert [line["step"] for line in read_metrics(path)] == list(range(1, 8))
    assert next(read_metrics(path))["values"] == {"loss": 1.0, "bad": None}
    cut_back(path, 5)
    assert [line["step"] for line in read_metrics(path)] == list(range(1, 6))
    assert path.read_text().endswith("\n")


def test_a_disk_error_of_the_metrics_thread_reaches_the_loop(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / "missing" / "metrics.jsonl")
    writer.put(1, {})
    with pytest.raises(StorageError, match=r"metrics\.jsonl"):
        writer.flush()
    with pytest.raises(StorageError):
        writer.put(2, {})


def test_a_tail_follows_a_file_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(path)
    assert tail.new() == []
    writer = MetricsWriter(path)
    writer.put(1, {})
    writer.put(2, {})
    writer.flush()
    assert [line["step"] for line in tail.new()] == [1, 2]
    assert tail.new() == []
    cut_back(path, 1)
    assert [line["step"] for line in tail.new()] == [1]
    writer.put(3, {})
    writer.close()
    assert [line["step"] for line in tail.new()] == [3]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (45, "45 s"), (600, "10 min"), (7500, "2 h 5 min")]
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
