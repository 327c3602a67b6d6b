"""Runs a sweep's trials with Ray Tune.

Tune's own snapshots are not used for resuming. They lag seconds behind, leave out the scheduler's
rungs, and need the very same code; the trials' files know everything, and a finished stage is never
run again, so a fresh Tuner over the trials that are left is both simpler and exact.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.attempt import StopFile
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord
from gimbal.sweeps.doors import JobDoor
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.queue import TrialQueue
from gimbal.sweeps.tpe import Curve
from gimbal.sweeps.trials import trial_of

TUNE_FOLDER = "tune"
_LOST_TRIALS = 3
"""How often a trial whose processes died is started again."""
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
_POLL_S = 0.2


@dataclass
class Leaving:
    """Whether, and why, all trials are to stop.

    Attributes:
        deadline: Monotonic time at which the budget is used up; None: there is no budget.
        asked: Set when the user wants to stop.
        problem: What makes going on pointless; see `metric_watch`.
    """

    deadline: float | None
    asked: threading.Event
    problem: ConfigError | None = None

    @property
    def budget_over(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def now(self) -> bool:
        """Whether to stop."""
        return self.asked.is_set() or self.problem is not None or self.budget_over


def run_trials(
    plan: SweepPlan,
    queue: TrialQueue,
    *,
    concurrent: int,
    scheduler: Any,
    leaving: Leaving,
    on_moved: Callable[[str], None],
    door: JobDoor | None = None,
) -> None:
    """Run every trial of the queue; Ray must be connected.

    Args:
        plan: What trials are made from.
        queue: The trials that are left.
        concurrent: Trials at a time.
        scheduler: Tune's scheduler; None: every trial runs to its end.
        leaving: Looked at all the time; once it says so, running trials checkpoint and leave.
        on_moved: Called, from another thread, with the id of a trial that came further or ended.
        door: The service to submit trials to; None: they run on this Ray.

    Raises:
        Exception: Whatever Tune raises.
    """
    os.environ.update(_ENVIRONMENT)
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            trainable = _trainable(plan, door)
            _fit(trainable, plan, queue, concurrent, scheduler, Hooks(leaving, on_moved))
        except BaseException as error:  # the border of this thread: raised again by its caller
            failure.append(error)

    # A thread of its own: in the main one Tune would take over the handling of Ctrl-C.
    thread = threading.Thread(target=fit, name="tune", daemon=True)
    thread.start()
    told = False
    while thread.is_alive():
        try:
            thread.join(_POLL_S)
        except KeyboardInterrupt:
            if leaving.asked.is_set():
                raise
            leaving.asked.set()
        if leaving.now and not told:
            told = True
            _ask_all_to_leave(plan, leaving)
    if failure:
        raise failure[0]


def _ask_all_to_leave(plan: SweepPlan, leaving: Leaving) -> None:
    """Leave word for every running trial why it stops, before Tune takes its process away."""
    folder = SweepFolder(plan.folder)
    for record in folder.trials():
        if record.status.is_terminal or not record.attempts:
            continue
        attempt = plan.attempt(trial_of(record), record.attempts)
        if not attempt.stop_path.exists():
            why = "cancel" if leaving.asked.is_set() else "budget"
            words = "the sweep was stopped" if why == "cancel" else "the sweep's budget is used up"
            if leaving.problem is not None:
                words = leaving.problem.message
            attempt.write("stop", StopFile(why=why, at=time.time(), words=words))


@dataclass(frozen=True, slots=True)
class Hooks:
    """What Tune asks and tells while it runs."""

    leaving: Leaving
    on_moved: Callable[[str], None]


def _trainable(plan: SweepPlan, door: JobDoor | None) -> Any:
    from gimbal.sweeps.trainable import SweepTrial
    from ray import tune

    # A byte of memory, because Tune's actors must ask for something, and any share of a CPU would
    # be a share that a stage on a full machine waits for in vain.
    nothing = tune.PlacementGroupFactory([{"memory": 1}])
    return tune.with_resources(tune.with_parameters(SweepTrial, plan=plan, door=door), nothing)


def _fit(
    trainable: Any,
    plan: SweepPlan,
    queue: TrialQueue,
    concurrent: int,
    scheduler: Any,
    hooks: Hooks,
) -> None:
    import logging

    from gimbal.sweeps.search import QueueSearch
    from gimbal.sweeps.watching import AllStop, Moves
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=QueueSearch(queue, SweepFolder(plan.folder)),
            scheduler=scheduler,
            num_samples=max(queue.left, 1),
            max_concurrent_trials=concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=TUNE_FOLDER,
            storage_path=str(Path(plan.folder)),
            failure_config=tune.FailureConfig(max_failures=_LOST_TRIALS),
            callbacks=[Moves(hooks.on_moved)],
            stop=AllStop(hooks.leaving),
            verbose=0,
        ),
    )
    tuner.fit()


def earlier_curves(plan: SweepPlan, known: Sequence[TrialRecord]) -> dict[int, Curve]:
    """Return what trials that ended in earlier starts had reached, by number."""
    if plan.judged is None:
        return {}
    return {
        record.number: plan.judged.curve(Path(record.run_dir))
        for record in known
        if record.status.is_terminal and record.run_dir is not None
    }
