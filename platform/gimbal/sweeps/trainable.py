"""A trial as Ray Tune sees it.

Tune's own actor (`SweepTrial`) only watches and reports; the experiment runs beside it, in a
process of its own or as a job of the service. Neither holds a CPU, so that waiting costs nothing
and nothing can deadlock. The second process is needed because Tune forces whatever its actors start
into the trial's own placement group, and stages ask Ray for CPUs and GPUs themselves, one at a
time.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord
from gimbal.sweeps.curves import TrainingTail
from gimbal.sweeps.doors import JobDoor
from gimbal.sweeps.job_process import JobProcess
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.processes import ActorProcess, TrialProcess
from gimbal.sweeps.scheduler import JUDGE, STEP
from gimbal.sweeps.trials import trial_of
from ray import tune

TRIAL = "trial"
ATTEMPT = "attempt"
RECORD = "record"
_LOOK_S = 0.2
_REPORT_S = 2.0


class SweepTrial(tune.Trainable):
    """Watches one trial; used again for the next one when it ended."""

    _ended: TrialRecord | None

    def setup(
        self, config: dict[str, Any], plan: SweepPlan | None = None, door: JobDoor | None = None
    ) -> None:
        """Start the trial that the config names."""
        if plan is None:
            raise ValueError("a trial needs the plan of its sweep")
        self._plan = plan
        with contextlib.suppress(OSError):  # a node that lacks the folder has absolute paths only
            os.chdir(plan.started_in)
        self._process: TrialProcess = JobProcess(plan, door) if door else ActorProcess(plan)
        self._begin(config)

    def step(self) -> dict[str, Any]:
        """Return what is new, at the latest after `_REPORT_S`."""
        deadline = time.monotonic() + _REPORT_S
        while time.monotonic() < deadline:
            if self._ended is None:
                self._ended = self._process.ended(_LOOK_S)
            point = self._next_point()  # of a trial that ended too: it sets the others' standard
            if point is not None:
                self._step, value = point
                return self._report({JUDGE: value})
            if self._ended is not None:
                self._step = self._ended.step
                return self._report({RECORD: self._ended.model_dump(mode="json"), "done": True})
        return self._report({})

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial."""
        self._leave()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Let the trial checkpoint and leave, then end its process."""
        self._leave()
        self._process.close()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """Keep nothing: a run's own checkpoints are the truth."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Restore nothing; see `save_checkpoint`."""

    def _begin(self, config: dict[str, Any]) -> None:
        record = SweepFolder(self._plan.folder).trial(str(config[TRIAL]))
        if record is None:
            raise ValueError(f"the sweep's folder has no trial {config[TRIAL]}")
        self._trial = trial_of(record)
        self._ended = None
        self._step = record.step
        self._reported: set[int] = set()
        self._tail = TrainingTail(self._plan.train_stage, self._plan.judged)
        self._attempt: AttemptFolder = self._process.start(self._trial, record)

    def _next_point(self) -> tuple[int, float] | None:
        """Return the earliest validation that was not reported."""
        if self._plan.judged is None:
            return None
        record = SweepFolder(self._plan.folder).trial(self._trial.id)
        self._tail.look(record.run_dir if record is not None else None)
        for step, value in self._tail.points.items():
            if step not in self._reported:
                self._reported.add(step)
                return step, value
        return None

    def _report(self, more: dict[str, Any]) -> dict[str, Any]:
        facts = {TRIAL: self._trial.id, STEP: self._step, ATTEMPT: str(self._attempt.path)}
        return {**facts, **more}

    def _leave(self) -> None:
        """Ask the trial to leave where it has not ended, and wait for it."""
        if self._ended is not None or self._process.ended(0.0) is not None:
            return
        if not self._attempt.stop_path.exists():
            stop = StopFile(why="preempt", at=time.time(), words="the sweep was stopped")
            self._attempt.write("stop", stop)
        self._process.leave()
