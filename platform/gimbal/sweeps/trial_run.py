"""Runs one trial: an ordinary run, again and again until it ends or is asked to leave.

Leaving goes through the same file as in the job service, `stop.json` of the attempt's folder: the
training looks at it before every step, checkpoints and goes. A GPU that somebody else holds delays
the trial, since nothing is wrong with it; a worker or driver that dies is an attempt more, and its
run goes on from its checkpoint.
"""

from __future__ import annotations

import math
import os
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import GateFailed, GimbalError
from gimbal.experiment.attempt import (
    ATTEMPT_VARIABLE,
    GpuContended,
    Preempted,
    StopFile,
)
from gimbal.experiment.provenance import ORIGIN_VARIABLE
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, utc_now
from gimbal.experiment.stage import lookup
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.pipeline.runner import RunOptions, RunResult, run_experiment
from gimbal.sweeps.curves import last_step
from gimbal.sweeps.neighbours import forget_failures, neighbour_of
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.trial_log import TrialLog
from gimbal.sweeps.trials import Trial

_FIRST_DELAY_S = 10.0
_LONGEST_DELAY_S = 300.0
_LOOK_S = 0.5
_FORMER_S = 60.0
"""How long the process of an earlier start may take to die."""


@dataclass
class TrialRun:
    """One start of one trial, in this process.

    Attributes:
        plan: The sweep.
        trial: The trial.
        number: Which start of the trial this is, from 1.
        sleep: Waits; replaced in tests.
        chance: Draws the jitter of delays.
    """

    plan: SweepPlan
    trial: Trial
    number: int
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        self._sweep = SweepFolder(self.plan.folder)
        known = self._sweep.trial(self.trial.id) or first_record(self.trial)
        self.attempt = self.plan.attempt(self.trial, self.number)
        self._record = known.model_copy(update={"attempts": self.number})

    def go(self) -> TrialRecord:
        """Run until the trial ends; return its record, whose status is terminal or `WAITING`."""
        os.environ[ATTEMPT_VARIABLE] = str(self.attempt.path)
        os.environ[ORIGIN_VARIABLE] = str(self.plan.code)
        self._write(status=TrialStatus.RUNNING, started_at=self._record.started_at or utc_now())
        self._outlive_former()
        delays = 0
        while True:
            began = time.monotonic()
            try:
                result = self._run()
            except Preempted:
                return self._left(began)
            except Exception as error:  # the border of the process: a workload's bug ends its trial
                neighbour = self._neighbour(error)
                if neighbour is None:
                    return self._failed(error, began, gate=isinstance(error, GateFailed))
                self._spent(began)
                if not self._delay(neighbour, delays):
                    return self._left(began=None)
                delays += 1
            else:
                return self._finished(result, began)

    def _run(self) -> RunResult:
        settings = self.plan.load(self.trial)
        options = RunOptions(command=self.plan.command)
        with TrialLog(self.attempt.log, self._begun) as log:
            try:
                return run_experiment(self.plan.workload, settings, options, log)
            except GimbalError as error:
                log.notice(str(error))
                raise
            except Exception:
                log.notice(traceback.format_exc())
                raise

    def _neighbour(self, error: Exception) -> str | None:
        """Return who is on the GPU, if that is why the run ended."""
        if isinstance(error, GpuContended):
            return error.message
        return neighbour_of(self.attempt) if isinstance(error, GimbalError) else None

    def _begun(self, run_dir: str) -> None:
        self._write(run_dir=run_dir, status=TrialStatus.RUNNING, message="")

    def _finished(self, result: RunResult, began: float) -> TrialRecord:
        value = metric_of(result.metrics, self.plan.metric)
        self._spent(began)
        if value is None or not math.isfinite(value):
            none = f"the run reported no number {self.plan.metric}"
            return self._write(
                status=TrialStatus.FAILED,
                step=self._step(),
                ended_at=utc_now(),
                message=none if value is None else f"{self.plan.metric} is {value}",
            )
        return self._write(
            status=TrialStatus.FINISHED,
            metric=value,
            step=self._step(),
            ended_at=utc_now(),
            message="",
        )

    def _failed(self, error: Exception, began: float, *, gate: bool = False) -> TrialRecord:
        """Record a failure; what a missed gate was about is still a result."""
        self._spent(began)
        value = self._metric_on_disk() if gate else None
        return self._write(
            status=TrialStatus.FAILED,
            metric=value,
            step=self._step(),
            ended_at=utc_now(),
            message=_words_of(error),
        )

    def _left(self, began: float | None) -> TrialRecord:
        """Record why the trial left: for good when it was weak, else to go on some other time."""
        if began is not None:
            self._spent(began)
        stop = self.attempt.read("stop", StopFile)
        early = stop is not None and stop.why == "early"
        return self._write(
            status=TrialStatus.STOPPED if early else TrialStatus.WAITING,
            step=self._step(),
            ended_at=utc_now() if early else None,
            message=stop.words if stop else "",
        )

    def _delay(self, neighbour: str, delays: int) -> bool:
        """Wait for a card; return False when the trial was asked to leave meanwhile."""
        longest = min(_FIRST_DELAY_S * 2**delays, _LONGEST_DELAY_S)
        wait_s = self.chance(longest / 2, longest)
        self._write(status=TrialStatus.DELAYED, message=neighbour)
        forget_failures(self.attempt)
        waited = 0.0
        while waited < wait_s:
            if self.attempt.stop_path.exists():
                return False
            self.sleep(_LOOK_S)
            waited += _LOOK_S
        return not self.attempt.stop_path.exists()

    def _outlive_former(self) -> None:
        """Wait until the process of an earlier start is gone: two may not work in one run."""
        waited = 0.0
        while (
            self._record.run_dir is not None
            and waited < _FORMER_S
            and not self.attempt.stop_path.exists()
        ):
            try:
                state = RunFolder(Path(self._record.run_dir)).state()
            except GimbalError:
                return
            if state.status is not RunStatus.RUNNING:
                return
            self.sleep(_LOOK_S)
            waited += _LOOK_S

    def _step(self) -> int:
        if self.plan.train_stage is None or self._record.run_dir is None:
            return 0
        return last_step(Path(self._record.run_dir), self.plan.train_stage)

    def _metric_on_disk(self) -> float | None:
        if self._record.run_dir is None:
            return None
        stages = RunFolder(Path(self._record.run_dir)).state().stages
        return metric_of({name: stage.metrics for name, stage in stages.items()}, self.plan.metric)

    def _spent(self, began: float) -> None:
        seconds = self._record.seconds + time.monotonic() - began
        self._record = self._record.model_copy(update={"seconds": seconds})

    def _write(self, **changes: Any) -> TrialRecord:
        """Change the record; the file only as long as no later start of the trial has it."""
        self._record = self._record.model_copy(update=changes)
        there = self._sweep.trial(self.trial.id)
        if there is None or there.attempts <= self.number:
            self._sweep.write_trial(self._record)
        return self._record


def _words_of(error: Exception) -> str:
    if isinstance(error, GimbalError):
        return error.message
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def first_record(trial: Trial) -> TrialRecord:
    """Return the record of a trial that has not begun."""
    return TrialRecord(
        id=trial.id,
        number=trial.number,
        name=trial.name,
        overrides=trial.point,
        seed=trial.seed,
        status=TrialStatus.WAITING,
    )


def metric_of(metrics: dict[str, Any], path: str) -> float | None:
    """Return the number at `stage.path` in a run's metrics, or None where there is none."""
    stage, _, rest = path.partition(".")
    return lookup(metrics.get(stage, {}), rest)
