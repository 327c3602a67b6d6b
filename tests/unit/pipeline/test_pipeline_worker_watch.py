"""What a worker leaves behind for the service, and how it hears of it."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from gimbal.experiment.attempt import AttemptFolder, FailureFile, Preempted, StopFile, WorkerFile
from gimbal.experiment.settings import Resources
from gimbal.pipeline.worker_watch import AttemptWatch
from gimbal.testing.fake_gpus import FakeLab, fake_uuid
from gimbal.training.hooks import WorkerContext

GIB = 1024**3


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    (tmp_path / "lab.yaml").write_text("gpus: [{memory: 24GiB, count: 2}]\n")
    monkeypatch.setenv("GIMBAL_GPU_BACKEND", "gimbal.testing.fake_gpus:from_environment")
    monkeypatch.setenv("GIMBAL_FAKE_GPUS", str(tmp_path / "lab.yaml"))
    monkeypatch.setenv("GIMBAL_FAKE_GPUS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    return FakeLab(tmp_path / "state")


def context(rank: int = 0, *ids: str) -> WorkerContext:
    return WorkerContext(rank=rank, workers=2, gpus=float(len(ids)), gpu_ids=ids)


def watch(folder: Path | None, memory: int | None = None) -> AttemptWatch:
    attempt = AttemptFolder(folder) if folder else None
    made = AttemptWatch.of(Resources(gpu_memory=memory), attempt)
    copy: AttemptWatch = pickle.loads(pickle.dumps(made))
    return copy


def test_one_worker_asks_whether_to_leave_and_the_others_do_not(tmp_path: Path) -> None:
    first, second = watch(tmp_path), watch(tmp_path)
    first.begin(context(0))
    second.begin(context(1))
    assert not first.at_step(0)
    AttemptFolder(tmp_path).write("stop", StopFile(why="preempt", at=0.0))
    assert first.at_step(1) and not second.at_step(1)


def test_a_run_that_nobody_submitted_is_never_asked(tmp_path: Path) -> None:
    alone = watch(None)
    alone.begin(context())
    assert not alone.at_step(0)
    alone.failed(ValueError("x"), 0)
    alone.end()


def test_looking_whether_to_leave_costs_microseconds(tmp_path: Path) -> None:
    asked = watch(tmp_path)
    asked.begin(context())
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        for step in range(200):
            asked.at_step(step)
        durations.append((time.perf_counter() - began) / 200)
    assert min(durations) < 200e-6


def test_a_failure_leaves_its_words_its_code_and_the_card(lab: FakeLab, tmp_path: Path) -> None:
    dying = watch(tmp_path / "1", memory=8 * GIB)
    dying.begin(context(1, "1"))
    lab.arrive(1, 14 * GIB)
    cuda = RuntimeError("CUDA error: an illegal memory access was encountered")
    cuda.error_code = 700  # type: ignore[attr-defined]
    try:
        raise ValueError("the task broke" + "." * 20_000) from cuda
    except ValueError as error:
        dying.failed(error, 41)
    dying.end()
    (failure,) = AttemptFolder(tmp_path / "1").every("failure", FailureFile)
    assert (failure.rank, failure.step, failure.error_code) == (1, 41, 700)
    assert failure.error_type == "builtins.ValueError"
    assert failure.text.startswith("the task broke") and len(failure.text) < 10_000
    assert failure.text.endswith("caused by RuntimeError: " + str(cuda))
    (card,) = failure.gpus
    assert card["uuid"] == fake_uuid("lab", 1)
    assert card["own_bytes"] == 8 * GIB and card["used_bytes"] == 22 * GIB
    (worker,) = AttemptFolder(tmp_path / "1").every("worker", WorkerFile)
    assert worker.peak_bytes == failure.peak_bytes == 8 * GIB


def test_a_worker_turned_away_leaves_evidence_as_well(lab: FakeLab, tmp_path: Path) -> None:
    lab.arrive(1, 20 * GIB)
    turned = watch(tmp_path / "1", memory=8 * GIB)
    turned.guard.patience_s = 0
    with pytest.raises(Exception, match="alice"), turned.over(context(0, "1")):
        pytest.fail("the work began")
    (failure,) = AttemptFolder(tmp_path / "1").every("failure", FailureFile)
    assert failure.error_type.endswith("GpuContended") and failure.step == -1
    assert failure.gpus[0]["used_bytes"] == 20 * GIB and failure.gpus[0]["own_bytes"] == 0


def test_leaving_when_asked_is_no_failure(tmp_path: Path) -> None:
    leaving = watch(tmp_path)
    leaving.begin(context())
    leaving.failed(Preempted("asked"), 3)
    assert AttemptFolder(tmp_path).every("failure", FailureFile) == []


def test_a_disk_that_is_full_does_not_hide_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    helpless = watch(tmp_path / "file")
    helpless.failed(ValueError("x"), 0)
    helpless.end()
