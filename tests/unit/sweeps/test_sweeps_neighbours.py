"""A GPU that somebody else holds delays a trial and never fails it, however it shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import GimbalError, StageFailed
from gimbal.experiment.attempt import FailureFile, GpuContended, StopFile
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.pipeline.runner import RunResult
from gimbal.sweeps import trial_run
from gimbal.sweeps.neighbours import neighbour_of
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.trial_run import TrialRun
from gimbal.sweeps.trials import Trial

GIB = 2**30
TRIAL = Trial(number=0, point={"lr": 0.1}, seed=0, many_seeds=False)
OOM = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 24.00 GiB"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepPlan:
    folder = tmp_path / "runs" / "s" / "sweep-20261126-000000-abcd"
    folder.mkdir(parents=True)
    monkeypatch.setattr(SweepPlan, "load", lambda self, trial: None)
    for name in (trial_run.ATTEMPT_VARIABLE, trial_run.ORIGIN_VARIABLE):
        monkeypatch.setenv(name, "")  # so that what the trial sets is taken back
    facts: dict[str, Any] = {"metric": "score.value", "train_stage": None, "judged": None}
    return SweepPlan(
        folder=folder,
        name="s",
        workload=None,
        started_in=tmp_path,
        **facts,  # type: ignore[arg-type]
    )


def failed_on_card(plan: SweepPlan, used_bytes: int, own_bytes: int) -> None:
    """Leave what a worker writes when an allocation fails."""
    gpu = {"uuid": "GPU-a", "total_bytes": 24 * GIB, "used_bytes": used_bytes}
    record = FailureFile(
        rank=0,
        error_type="torch.OutOfMemoryError",
        text=OOM,
        at=time.time(),
        gpus=({**gpu, "own_bytes": own_bytes},),
    )
    plan.attempt(TRIAL, 1).write("failure-0", record)


class Story:
    """What `run_experiment` does, call by call."""

    def __init__(self, plan: SweepPlan, *events: Any) -> None:
        self.plan = plan
        self.events = list(events)
        self.seen: list[TrialRecord] = []

    def __call__(self, *_: Any) -> RunResult:
        event = self.events.pop(0)
        if callable(event):
            event = event(self.plan)
        if isinstance(event, GimbalError):
            raise event
        return RunResult(run_dir="r", stages={}, metrics={"score": {"value": event}})

    def sleep(self, _: float) -> None:
        record = SweepFolder(self.plan.folder).trial(TRIAL.id)
        assert record is not None
        self.seen.append(record)


def told(plan: SweepPlan, monkeypatch: pytest.MonkeyPatch, *events: Any) -> tuple[Any, Story]:
    story = Story(plan, *events)
    monkeypatch.setattr(trial_run, "run_experiment", story)
    run = TrialRun(plan, TRIAL, 1, sleep=story.sleep, chance=lambda low, high: high)
    return run.go(), story


def beside_a_neighbour(plan: SweepPlan) -> GimbalError:
    failed_on_card(plan, used_bytes=23 * GIB, own_bytes=4 * GIB)
    return StageFailed("stage 'train' broke: OutOfMemoryError")


def on_its_own(plan: SweepPlan) -> GimbalError:
    failed_on_card(plan, used_bytes=23 * GIB, own_bytes=23 * GIB)
    return StageFailed("stage 'train' broke: OutOfMemoryError")


def test_a_card_taken_at_the_start_and_in_the_middle_only_delays(
    plan: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    contended = GpuContended("alice holds 14 GiB of lab:0")
    record, story = told(plan, monkeypatch, contended, beside_a_neighbour, 0.5)
    assert (record.status, record.metric) == (TrialStatus.FINISHED, 0.5)
    assert {seen.status for seen in story.seen} == {TrialStatus.DELAYED}
    words = list(dict.fromkeys(seen.message for seen in story.seen))
    assert words[0] == "alice holds 14 GiB of lab:0"
    assert "somebody else" in words[1]


def test_delays_grow_and_are_not_counted_as_work(
    plan: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    contended = [GpuContended("taken")] * 3
    record, story = told(plan, monkeypatch, *contended, 0.5)
    waits = len(story.seen) * trial_run._LOOK_S
    assert waits == pytest.approx(10 + 20 + 40, abs=2)
    assert record.seconds < 5


def test_memory_that_is_all_its_own_is_its_own_fault(
    plan: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, _ = told(plan, monkeypatch, on_its_own)
    assert record.status is TrialStatus.FAILED


def test_an_old_neighbour_does_not_explain_a_later_failure(
    plan: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = StageFailed("stage 'train' broke: ZeroDivisionError")
    record, _ = told(plan, monkeypatch, beside_a_neighbour, broken)
    assert (record.status, record.message) == (TrialStatus.FAILED, broken.message)


def test_a_delayed_trial_leaves_when_it_is_asked_to(
    plan: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(plan: SweepPlan) -> GimbalError:
        plan.attempt(TRIAL, 1).write("stop", StopFile(why="budget", at=0.0, words="time is up"))
        return GpuContended("taken")

    record, _ = told(plan, monkeypatch, asked)
    assert (record.status, record.message) == (TrialStatus.WAITING, "time is up")


def test_without_evidence_nobody_is_blamed(plan: SweepPlan) -> None:
    assert neighbour_of(plan.attempt(TRIAL, 1)) is None
