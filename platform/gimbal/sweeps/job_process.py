"""A trial that is a job of the service: it waits there until its GPUs are really free.

The service owns the job: it survives this process, and a sweep that is resumed finds it again by
its id, or by its idempotency key where the id was not yet written down. Interrupting a sweep leaves
its jobs running; only early stopping and the budget cancel them.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from gimbal.errors import GimbalError
from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import utc_now
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.curves import TrainingTail
from gimbal.sweeps.doors import JobDoor, NoSuchJob, ServiceAway
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.processes import LEAVE_S
from gimbal.sweeps.trial_run import metric_of
from gimbal.sweeps.trials import Trial

_POLL_S = 2.0
_PENDING, _RUNNING, _SUCCEEDED, _STOPPED = "PENDING", "RUNNING", "SUCCEEDED", "STOPPED"


class JobProcess:
    """A `TrialProcess` that submits each trial and follows its job.

    Args:
        plan: What trials are made from.
        door: The service.
        sleep: Waits; replaced in tests.
    """

    def __init__(
        self, plan: SweepPlan, door: JobDoor, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._plan = plan
        self._door = door
        self._sleep = sleep
        self._folder = SweepFolder(plan.folder)
        self._asked_s = 0.0

    def start(self, trial: Trial, record: TrialRecord) -> AttemptFolder:
        """See `TrialProcess`; nothing is asked of the service yet, which may be away."""
        self._trial, self._record = trial, record
        self._followed = False
        self._tail = TrainingTail(self._plan.train_stage, None)
        # Without a job on record the same number gives the same key: an earlier driver may have
        # died between submitting and writing it down.
        number = record.attempts + 1 if record.job else max(record.attempts, 1)
        self._write(attempts=number, status=TrialStatus.WAITING)
        self._attempt = self._plan.attempt(trial, number)
        self._attempt.stop_path.unlink(missing_ok=True)
        return self._attempt

    def ended(self, timeout_s: float) -> TrialRecord | None:
        """See `TrialProcess`. A service that is away only delays the trial."""
        self._sleep(timeout_s)
        if time.monotonic() - self._asked_s < _POLL_S:
            return None
        self._asked_s = time.monotonic()
        try:
            return self._take(self._job())
        except ServiceAway as error:
            self._write(status=TrialStatus.DELAYED, message=error.message)
            return None
        except GimbalError as error:
            message = f"the service refuses it: {error.message}"
            return self._write(status=TrialStatus.FAILED, message=message, ended_at=utc_now())

    def _job(self) -> dict[str, Any]:
        """Return the trial's job, submitting it where there is none worth following."""
        known = self._known_job()
        if known is not None:
            self._followed = True
            return known
        settings = self._plan.load(self._trial)
        key = f"{self._plan.folder.name}.{self._trial.id}.{self._record.attempts}"
        job = self._door.submit(self._plan.workload.name, settings, key)
        self._followed = True
        self._write(job=job["id"], started_at=self._record.started_at or utc_now(), message="")
        return job

    def _known_job(self) -> dict[str, Any] | None:
        """Return the job on record if it is worth following, else strike it off."""
        if self._record.job is None:
            return None
        with contextlib.suppress(NoSuchJob):
            job = self._door.get(self._record.job)
            if self._followed or job["state"] in (_PENDING, _RUNNING, _SUCCEEDED):
                return job
        self._write(job=None)
        return None

    def leave(self) -> None:
        """See `TrialProcess`."""
        stop = self._attempt.read("stop", StopFile)
        job_id = self._record.job
        if stop is None or stop.why not in ("early", "budget") or job_id is None:
            self._write(status=TrialStatus.WAITING, message="its job goes on without the sweep")
            return
        deadline = time.monotonic() + LEAVE_S
        with contextlib.suppress(GimbalError):  # a service that is away is asked again on resuming
            self._door.cancel(job_id)
        while time.monotonic() < deadline:
            if self.ended(_POLL_S) is not None:
                return

    def close(self) -> None:
        """See `TrialProcess`: the job is the service's."""

    def _take(self, job: dict[str, Any]) -> TrialRecord | None:
        """Write down what the service says of the job; return the record once it ended."""
        self._write(run_dir=self._run_dir(job), step=self._step(), seconds=_seconds(job))
        state = job["state"]
        if state == _RUNNING:
            self._write(status=TrialStatus.RUNNING, message="")
            return None
        if state == _PENDING:
            if job["detail"]:  # right after submission nobody has looked at it yet
                self._write(status=TrialStatus.DELAYED, message=job["detail"])
            return None
        return self._finish(state, job)

    def _finish(self, state: str, job: dict[str, Any]) -> TrialRecord:
        metric = self._metric() if state == _SUCCEEDED else None
        stop = self._attempt.read("stop", StopFile)
        if metric is not None:
            status, message = TrialStatus.FINISHED, ""
        elif state == _STOPPED and stop is not None and stop.why == "early":
            status, message = TrialStatus.STOPPED, stop.words
        elif state == _STOPPED and stop is not None:
            return self._write(status=TrialStatus.WAITING, message=stop.words)
        elif state == _SUCCEEDED:
            status, message = TrialStatus.FAILED, self._no_metric()
        else:
            status, message = TrialStatus.FAILED, job["detail"] or f"its job {state.lower()}"
        return self._write(status=status, metric=metric, message=message, ended_at=utc_now())

    def _run_dir(self, job: dict[str, Any]) -> str | None:
        runs = [attempt["run"] for attempt in job.get("attempts", ()) if attempt["run"]]
        return str(self._folder.runs_dir / runs[-1]) if runs else self._record.run_dir

    def _metric(self) -> float | None:
        try:
            stages = RunFolder(Path(self._record.run_dir or "")).state().stages
        except GimbalError:
            return None
        metrics = {name: stage.metrics for name, stage in stages.items()}
        value = metric_of(metrics, self._plan.metric)
        return value if value is not None and math.isfinite(value) else None

    def _no_metric(self) -> str:
        if self._record.run_dir is None or not Path(self._record.run_dir).exists():
            return (
                f"the service keeps its runs elsewhere than {self._folder.runs_dir}: give the "
                "sweep the service's folder, platform.runs_dir=…"
            )
        return f"the run reported no finite number {self._plan.metric}"

    def _step(self) -> int:
        self._tail.look(self._record.run_dir)
        return self._tail.step

    def _write(self, **changes: Any) -> TrialRecord:
        changed = self._record.model_copy(update=changes)
        if changed != self._record:
            self._record = changed
            self._folder.write_trial(changed)
        return changed


def _seconds(job: dict[str, Any]) -> float:
    """Return how long a job has run, from its first start on."""
    if job["started_at"] is None:
        return 0.0
    began = datetime.fromisoformat(job["started_at"])
    ended = datetime.fromisoformat(job["ended_at"]) if job["ended_at"] else utc_now()
    return (ended - began).total_seconds()
