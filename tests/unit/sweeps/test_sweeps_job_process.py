"""A trial that is a job: submitted once, followed over restarts, cancelled only for a reason."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import GimbalError
from gimbal.experiment.attempt import StopFile
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps import job_process
from gimbal.sweeps.doors import NoSuchJob, ServiceAway
from gimbal.sweeps.job_process import JobProcess
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.trial_run import first_record
from gimbal.sweeps.trials import Trial

TRIAL = Trial(number=0, point={"lr": 0.1}, seed=0, many_seeds=False)


class Service:
    """A service with jobs in memory; the same key gives the same job."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.away = False
        self.refuses = False

    def submit(self, workload: str, settings: ExperimentSettings, key: str) -> dict[str, Any]:
        self._answer()
        if key not in self.keys:
            self.keys[key] = f"job-{len(self.jobs)}"
            self.jobs[self.keys[key]] = job(self.keys[key], "PENDING")
        return self.jobs[self.keys[key]]

    def get(self, job_id: str) -> dict[str, Any]:
        self._answer()
        if job_id not in self.jobs:
            raise NoSuchJob(f"there is no job {job_id}")
        return self.jobs[job_id]

    def cancel(self, job_id: str) -> None:
        self._answer()
        self.cancelled.append(job_id)
        self.jobs[job_id] |= {"state": "STOPPED"}

    def _answer(self) -> None:
        if self.refuses:
            raise GimbalError("there is no workload 'w'")
        if self.away:
            raise ServiceAway("no service answers")


def job(job_id: str, state: str, run: str | None = None, detail: str = "") -> dict[str, Any]:
    attempts = [{"run": run}] if run else []
    times = {"started_at": None, "ended_at": None}
    return {"id": job_id, "state": state, "detail": detail, "attempts": attempts, **times}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_process, "_POLL_S", 0.0)
    monkeypatch.setattr(SweepPlan, "load", lambda self, trial: None)


@pytest.fixture
def plan(tmp_path: Path) -> SweepPlan:
    folder = tmp_path / "runs" / "s" / "sweep-20261126-000000-abcd"
    folder.mkdir(parents=True)
    return SweepPlan(
        folder=folder,
        workload=type("W", (), {"name": "w"})(),
        name="s",
        metric="score.value",
        train_stage=None,
        judged=None,
        started_in=tmp_path,
    )


@pytest.fixture
def service() -> Service:
    return Service()


def begun(plan: SweepPlan, service: Service) -> JobProcess:
    """Start the trial as a new driver would, from what is on disk."""
    folder = SweepFolder(plan.folder)
    record = folder.trial(TRIAL.id) or first_record(TRIAL)
    folder.write_trial(record)
    process = JobProcess(plan, service, sleep=lambda _: None)
    process.start(TRIAL, record)
    return process


def on_disk(plan: SweepPlan) -> TrialRecord:
    record = SweepFolder(plan.folder).trial(TRIAL.id)
    assert record is not None
    return record


def finished_run(plan: SweepPlan, value: float) -> str:
    """Leave the run folder of a finished trial; return its name to the service."""
    run = plan.folder.parent / "20261126-000001-abcd"
    run.mkdir()
    state = {
        "id": run.name,
        "experiment": "s",
        "workload": "w",
        "status": "finished",
        "started_at": "2026-11-26T00:00:01Z",
        "stages": {"score": {"status": "finished", "metrics": {"value": value}}},
    }
    (run / "run.json").write_text(json.dumps(state))
    return f"s/{run.name}"


def test_a_job_that_succeeds_is_a_finished_trial_with_its_metric(
    plan: SweepPlan, service: Service
) -> None:
    process = begun(plan, service)
    assert process.ended(0) is None
    service.jobs["job-0"] = job("job-0", "PENDING", detail="alice holds lab:0")
    assert process.ended(0) is None
    assert on_disk(plan).status is TrialStatus.DELAYED
    assert on_disk(plan).message == "alice holds lab:0"
    service.jobs["job-0"] = job("job-0", "RUNNING")
    assert process.ended(0) is None
    assert on_disk(plan).status is TrialStatus.RUNNING
    service.jobs["job-0"] = job("job-0", "SUCCEEDED", finished_run(plan, 0.7))
    record = process.ended(0)
    assert record is not None
    assert (record.status, record.metric) == (TrialStatus.FINISHED, 0.7)
    assert record == on_disk(plan)


def test_a_metric_that_is_no_number_is_a_failure(plan: SweepPlan, service: Service) -> None:
    """As on this Ray: a NaN must neither win nor teach the search anything."""
    process = begun(plan, service)
    process.ended(0)
    service.jobs["job-0"] = job("job-0", "SUCCEEDED", finished_run(plan, math.nan))
    record = process.ended(0)
    assert record is not None
    assert (record.status, record.metric) == (TrialStatus.FAILED, None)


def test_a_resumed_driver_finds_the_job_again_and_submits_no_second(
    plan: SweepPlan, service: Service
) -> None:
    assert begun(plan, service).ended(0) is None
    assert begun(plan, service).ended(0) is None
    assert list(service.jobs) == ["job-0"]


def test_a_driver_that_died_before_noting_the_job_gets_the_same_one(
    plan: SweepPlan, service: Service
) -> None:
    assert begun(plan, service).ended(0) is None
    SweepFolder(plan.folder).write_trial(on_disk(plan).model_copy(update={"job": None}))
    assert begun(plan, service).ended(0) is None
    assert list(service.jobs) == ["job-0"]


@pytest.mark.parametrize("state", ["STOPPED", "FAILED"])
def test_a_job_that_ended_badly_before_is_submitted_anew(
    plan: SweepPlan, service: Service, state: str
) -> None:
    assert begun(plan, service).ended(0) is None
    service.jobs["job-0"] |= {"state": state}
    assert begun(plan, service).ended(0) is None
    assert list(service.jobs) == ["job-0", "job-1"]


def test_a_service_that_is_away_delays_the_trial(plan: SweepPlan, service: Service) -> None:
    process = begun(plan, service)
    service.away = True
    assert process.ended(0) is None
    assert (on_disk(plan).status, on_disk(plan).message) == (
        TrialStatus.DELAYED,
        "no service answers",
    )
    service.away = False
    assert process.ended(0) is None
    assert on_disk(plan).job == "job-0"


def test_early_stopping_cancels_the_job(plan: SweepPlan, service: Service) -> None:
    process = begun(plan, service)
    process.ended(0)
    stop = StopFile(why="early", at=time.time(), words="it was weak")
    plan.attempt(TRIAL, 1).write("stop", stop)
    process.leave()
    assert service.cancelled == ["job-0"]
    assert (on_disk(plan).status, on_disk(plan).message) == (TrialStatus.STOPPED, "it was weak")


def test_the_budget_cancels_the_job_and_leaves_the_trial_to_a_later_start(
    plan: SweepPlan, service: Service
) -> None:
    process = begun(plan, service)
    process.ended(0)
    plan.attempt(TRIAL, 1).write("stop", StopFile(why="budget", at=0.0, words="time is up"))
    process.leave()
    assert service.cancelled == ["job-0"]
    assert on_disk(plan).status is TrialStatus.WAITING


def test_stopping_the_sweep_lets_its_jobs_go_on(plan: SweepPlan, service: Service) -> None:
    process = begun(plan, service)
    process.ended(0)
    plan.attempt(TRIAL, 1).write("stop", StopFile(why="cancel", at=0.0))
    process.leave()
    assert service.cancelled == []
    assert on_disk(plan).status is TrialStatus.WAITING
    service.jobs["job-0"] = job("job-0", "SUCCEEDED", finished_run(plan, 0.5))
    record = begun(plan, service).ended(0)
    assert record is not None
    assert record.metric == 0.5


def test_somebody_elses_cancelling_is_a_failure_with_words(
    plan: SweepPlan, service: Service
) -> None:
    process = begun(plan, service)
    process.ended(0)
    service.jobs["job-0"] = job("job-0", "STOPPED", detail="cancelled by ada")
    record = process.ended(0)
    assert record is not None
    assert (record.status, record.message) == (TrialStatus.FAILED, "cancelled by ada")


def test_a_service_with_another_runs_folder_is_named(plan: SweepPlan, service: Service) -> None:
    process = begun(plan, service)
    process.ended(0)
    service.jobs["job-0"] = job("job-0", "SUCCEEDED", "s/20261126-000009-abcd")
    record = process.ended(0)
    assert record is not None
    assert record.status is TrialStatus.FAILED
    assert "platform.runs_dir" in record.message


def test_a_job_that_the_service_forgot_is_submitted_anew(plan: SweepPlan, service: Service) -> None:
    assert begun(plan, service).ended(0) is None
    service.jobs.clear()
    service.keys.clear()
    process = begun(plan, service)
    assert process.ended(0) is None
    assert on_disk(plan).job == "job-0"


def test_what_the_service_refuses_is_failed_and_not_asked_for_ever(
    plan: SweepPlan, service: Service
) -> None:
    service.refuses = True
    record = begun(plan, service).ended(0)
    assert record is not None
    assert record.status is TrialStatus.FAILED
    assert "there is no workload 'w'" in record.message
