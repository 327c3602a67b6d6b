"""Early stopping: Ray Tune's ASHA, which also tells a trial why it stops.

Tune only takes a trial's process away. Here the trial is asked to leave first, in its attempt's
folder, so that it writes a checkpoint and its record says that it was weak and not broken.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from gimbal.experiment.attempt import AttemptFolder, StopFile
from gimbal.sweeps.spec import AshaSettings
from gimbal.sweeps.tpe import Curve

JUDGE = "judge"
"""Key of a result: the scheduler's metric, larger is better."""
STEP = "step"
"""Key of a result: optimizer steps done."""


class EarlyStopping(ASHAScheduler):
    """ASHA over optimizer steps.

    Args:
        settings: The metric, the first rung and the reduction.
        steps: Optimizer steps of a whole trial.
        earlier: What trials that ended in earlier starts had reached: they still set the standard.
    """

    def __init__(self, settings: AshaSettings, steps: int, earlier: Iterable[Curve] = ()) -> None:
        super().__init__(
            time_attr=STEP,
            metric=JUDGE,
            mode="max",
            max_t=steps,
            grace_period=settings.grace_steps,
            reduction_factor=settings.reduction,
            stop_last_trials=False,
        )
        self._settings = settings
        self._steps = steps
        for number, curve in enumerate(earlier):
            ended: Any = _Ended(f"earlier-{number}")
            nobody: Any = None  # ASHA asks its controller nothing
            self.on_trial_add(nobody, ended)
            for step, value in sorted(curve.items()):
                self._decide(nobody, ended, {STEP: step, JUDGE: value})

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide, and leave word for the trial where it is to stop."""
        decision = self._decide(tune_controller, trial, result)
        if decision == TrialScheduler.STOP and not result.get("done"):
            words = self._words(result)
            stop = StopFile(why="early", at=time.time(), words=words)
            AttemptFolder(result["attempt"]).write("stop", stop)
        return decision

    def _decide(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Let a trial that is trained to its end go on: its result is what the sweep is about."""
        if result[STEP] >= self._steps:
            return TrialScheduler.CONTINUE
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision

    def _words(self, result: dict[str, Any]) -> str:
        value = result[JUDGE] if self._settings.mode == "max" else -result[JUDGE]
        return (
            f"{self._settings.metric} = {value:.4g} at step {result[STEP]} is not among the best "
            f"1/{self._settings.reduction:g} of the trials that came as far"
        )


@dataclass(frozen=True, slots=True)
class _Ended:
    """Stands for a trial of an earlier start."""

    trial_id: str
