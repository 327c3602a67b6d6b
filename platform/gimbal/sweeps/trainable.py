"""A trial as Ray Tune sees it.

Two actors a trial, both without CPUs, so that waiting costs nothing and nothing can deadlock:
Tune's own (`SweepTrial`) watches and reports, and one beside it (`TrialActor`) runs the experiment.
The second is there because Tune forces whatever its actors start into the trial's own placement
group, and stages ask Ray for CPUs and GPUs themselves, one stage at a time.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import ray
from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.scheduler import JUDGE, STEP
from gimbal.sweeps.trials import Trial
from ray import tune

TRIAL = "trial"
ATTEMPT = "attempt"
RECORD = "record"
_LOOK_S = 0.2
_REPORT_S = 2.0
_LEAVE_S = 120.0
"""How long a trial that was asked to leave may take to write its checkpoint."""


class TrialActor:
    """Runs trials, one after another, in a process of their own."""

    def run(self, plan: SweepPlan, trial: Trial, number: int) -> dict[str, Any]:
        """Run a trial; return its record as plain data."""
        from gimbal.sweeps.trial_run import TrialRun

        with contextlib.suppress(OSError):  # a node that lacks the folder has absolute paths only
            os.chdir(plan.started_in)
        return TrialRun(plan, trial, number).go().model_dump(mode="json")


class SweepTrial(tune.Trainable):
    """Watches one trial; used again for the next one when it ended."""

    def setup(self, config: dict[str, Any], plan: SweepPlan | None = None) -> None:
        """Start the trial that the config names."""
        if plan is None:
            raise ValueError("a trial needs the plan of its sweep")
        self._plan = plan
        self._actor: Any = None
        self._running: Any = None
        self._begin(config)

    def step(self) -> dict[str, Any]:
        """Return what is new, at the latest after `_REPORT_S`."""
        deadline = time.monotonic() + _REPORT_S
        while time.monotonic() < deadline:
            if ray.wait([self._running], timeout=_LOOK_S)[0]:
                return self._ended()
            point = self._next_point()
            if point is not None:
                step, value = point
                self._step = step
                return self._report({JUDGE: value})
        return self._report({})

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial."""
        self._leave()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Let the trial checkpoint and leave, then end its process."""
        self._leave()
        self._end_process()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """Keep nothing: a run's own checkpoints are the truth."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Restore nothing; see `save_checkpoint`."""

    def _begin(self, config: dict[str, Any]) -> None:
        record = SweepFolder(self._plan.folder).trial(str(config[TRIAL]))
        if record is None:
            raise ValueError(f"the sweep's folder has no trial {config[TRIAL]}")
        self._trial, number = trial_of(record), record.attempts + 1
        self._attempt: AttemptFolder = self._plan.attempt(self._trial, number)
        self._step = record.step
        self._reported: set[int] = set()
        if self._actor is None:
            # DEFAULT leaves Tune's placement group; see the module's docstring.
            make = ray.remote(num_cpus=0, scheduling_strategy="DEFAULT")(TrialActor)
            self._actor = make.remote()
        self._running = self._actor.run.remote(self._plan, self._trial, number)

    def _next_point(self) -> tuple[int, float] | None:
        """Return the earliest validation that was not reported."""
        judged, run_dir = self._plan.judged, self._run_dir()
        if judged is None or run_dir is None:
            return None
        for step, value in judged.curve(run_dir).items():
            if step not in self._reported:
                self._reported.add(step)
                return step, value
        return None

    def _run_dir(self) -> Path | None:
        record = SweepFolder(self._plan.folder).trial(self._trial.id)
        return Path(record.run_dir) if record is not None and record.run_dir is not None else None

    def _report(self, more: dict[str, Any]) -> dict[str, Any]:
        facts = {TRIAL: self._trial.id, STEP: self._step, ATTEMPT: str(self._attempt.path)}
        return {**facts, **more}

    def _ended(self) -> dict[str, Any]:
        record = TrialRecord.model_validate(ray.get(self._running))
        self._step = record.step
        return self._report({RECORD: record.model_dump(mode="json"), "done": True})

    def _leave(self) -> None:
        """Ask the trial to leave where it has not ended, and wait for it."""
        if ray.wait([self._running], timeout=0)[0]:
            return
        if not self._attempt.stop_path.exists():
            stop = StopFile(why="preempt", at=time.time(), words="the sweep was stopped")
            self._attempt.write("stop", stop)
        if not ray.wait([self._running], timeout=_LEAVE_S)[0]:
            self._end_process()

    def _end_process(self) -> None:
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None


def trial_of(record: TrialRecord) -> Trial:
    """Return the trial that a record is about."""
    return Trial(
        number=record.number,
        point=record.overrides,
        seed=record.seed,
        many_seeds=record.name.endswith(f"seed={record.seed}"),
    )
