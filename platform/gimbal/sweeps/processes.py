"""Where a trial runs: the port, and the default, a process on this Ray."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Protocol

import ray
from gimbal.experiment.attempt import AttemptFolder
from gimbal.experiment.sweep_record import TrialRecord
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.trials import Trial

LEAVE_S = 120.0
"""How long a trial that was asked to leave may take to write its checkpoint."""


class TrialProcess(Protocol):
    """Runs one trial after another. Whoever asks a trial to leave writes `stop.json` first."""

    def start(self, trial: Trial, record: TrialRecord) -> AttemptFolder:
        """Start, or go on with, a trial; return the folder through which it is asked to leave."""

    def ended(self, timeout_s: float) -> TrialRecord | None:
        """Wait a moment; return the trial's record if it ended or left, else None."""

    def leave(self) -> None:
        """See to it that the trial leaves, as `stop.json` says; wait for it."""

    def close(self) -> None:
        """End everything, at once."""


class TrialActor:
    """Runs trials, one after another, in a process of their own."""

    def run(self, plan: SweepPlan, trial: Trial, number: int) -> dict[str, Any]:
        """Run a trial; return its record as plain data."""
        from gimbal.sweeps.trial_run import TrialRun

        with contextlib.suppress(OSError):  # a node that lacks the folder has absolute paths only
            os.chdir(plan.started_in)
        return TrialRun(plan, trial, number).go().model_dump(mode="json")


class ActorProcess:
    """A `TrialProcess` that is an actor without CPUs beside Tune's own.

    Args:
        plan: What trials are made from.
    """

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._actor: Any = None
        self._running: Any = None

    def start(self, trial: Trial, record: TrialRecord) -> AttemptFolder:
        """See `TrialProcess`."""
        number = record.attempts + 1
        if self._actor is None:
            # DEFAULT leaves Tune's placement group; see the docstring of `trainable`.
            make = ray.remote(num_cpus=0, scheduling_strategy="DEFAULT")(TrialActor)
            self._actor = make.remote()
        attempt = self._plan.attempt(trial, number)
        attempt.stop_path.unlink(missing_ok=True)  # of a start that died before it wrote a word
        self._running = self._actor.run.remote(self._plan, trial, number)
        return attempt

    def ended(self, timeout_s: float) -> TrialRecord | None:
        """See `TrialProcess`.

        Raises:
            RayActorError: The process died.
        """
        if not ray.wait([self._running], timeout=timeout_s)[0]:
            return None
        return TrialRecord.model_validate(ray.get(self._running))

    def leave(self) -> None:
        """See `TrialProcess`; a process that does not leave is ended."""
        if not ray.wait([self._running], timeout=LEAVE_S)[0]:
            self.close()

    def close(self) -> None:
        """See `TrialProcess`."""
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None
