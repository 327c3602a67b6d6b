"""Runs a sweep: checks everything, starts or resumes it, and says what it found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.provenance import leave_origin
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import Stage
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.experiment.workload import Workload
from gimbal.pipeline import ray_session
from gimbal.pipeline.code import identify_code
from gimbal.pipeline.recording import runs_folder
from gimbal.sweeps.doors import JobDoor
from gimbal.sweeps.events import SilentSweepObserver, SweepObserver
from gimbal.sweeps.metric_watch import MetricWatch
from gimbal.sweeps.opening import Opened, Resumption, create, resume
from gimbal.sweeps.outcome import SweepOutcome, best_of
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.queue import TrialQueue
from gimbal.sweeps.room import room_for
from gimbal.sweeps.spec import SweepFile, read_sweep
from gimbal.sweeps.standing import Standing
from gimbal.sweeps.telling import TrialTeller
from gimbal.sweeps.tracked import SweepTracking
from gimbal.sweeps.trials import check
from gimbal.sweeps.tuning import Leaving, earlier_curves, run_trials
from gimbal.training.stage import TrainStage


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRequest:
    """How a sweep is asked for.

    Attributes:
        file: The sweep file.
        changes: Keys of the sweep file that the command line changes.
        overrides: `key=value` for the base config.
        resume: Go on with a sweep of that name; None: begin one.
        command: The command line, for the provenance.
        door: The service to which every trial is submitted; None: trials run on this Ray.
    """

    file: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    resume: Resumption | None = None
    command: tuple[str, ...] = ()
    door: JobDoor | None = None


def run_sweep(
    request: SweepRequest,
    observer: SweepObserver | None = None,
    asked_to_stop: threading.Event | None = None,
) -> SweepOutcome:
    """Run a sweep, or go on with one.

    Args:
        request: What to run.
        observer: Told what happens, also from other threads, one call at a time.
        asked_to_stop: Once set, running trials checkpoint and leave, and the sweep can be resumed.

    Raises:
        ConfigError: A file, key or value is wrong and nothing was started; or the first trial
            shows that nothing reports a metric that the file names.
        Drift: The code is not that with which the sweep to resume began.
        StageFailed: Ray cannot be reached.
        StorageError: The sweep's folder cannot be written.
    """
    sweep = read_sweep(request.file, request.changes, request.overrides)
    workload, base = check(sweep)
    runs_dir = runs_folder(base)
    if request.resume is not None:
        opened = resume(sweep, base, runs_dir, request.resume)
    else:
        opened = create(sweep, base, runs_dir)
    driver = _Driver(sweep, base, workload, opened, observer or SilentSweepObserver())
    return driver.go(request, asked_to_stop or threading.Event())


class _Driver:
    """One start of a sweep."""

    def __init__(
        self,
        sweep: SweepFile,
        base: ExperimentSettings,
        workload: Workload[Any],
        opened: Opened,
        observer: SweepObserver,
    ) -> None:
        self.sweep = sweep
        self.spec = sweep.spec
        self.base = base
        self.workload = workload
        self.stages: list[Stage] = list(workload.stages(base))
        self.opened = opened
        self.folder: SweepFolder = opened.folder
        self.observer = observer

    def go(self, request: SweepRequest, asked: threading.Event) -> SweepOutcome:
        """Run what is left and sum it up."""
        for name in self.folder.damaged():
            self.observer.notice(f"trials/{name} is damaged: that trial begins anew")
        if self.opened.ended:
            if not self.folder.comparison.exists():
                self._compare()
            return self._outcome()
        if self.opened.drift:
            self.observer.notice(self.opened.drift)
        standing = Standing(self.folder, self.spec.budget_s)
        leaving = standing.leaving(asked)
        with (
            standing.kept(leaving, self._left),
            SweepTracking.of(self.folder, self.spec, self.base, self.observer) as tracking,
        ):
            plan = SweepPlan.of(self.folder, self.spec, self.workload, self.stages, request.command)
            known = self.folder.trials()
            _require_door(known, request.door)
            curves = earlier_curves(plan, known)
            queue = TrialQueue(self.spec, self.sweep.axes, known, curves)
            if queue.left and not leaving.now:
                scheduler = self._scheduler(list(curves.values()))
                self._run(plan, queue, leaving, scheduler=scheduler, door=request.door)
            self._compare()
            tracking.ended(self.folder.trials(), self._best(), whole=self._left() == 0)
            if leaving.problem is not None:
                raise leaving.problem
        return self._outcome()

    def _run(
        self,
        plan: SweepPlan,
        queue: TrialQueue,
        leaving: Leaving,
        *,
        scheduler: Callable[[], Any],
        door: JobDoor | None,
    ) -> None:
        connected_before = ray_session.connected()
        identity = identify_code(self.stages)
        leave_origin(plan.code, identity.packages)
        ray_session.connect(self.base.platform.ray, identity)
        try:
            concurrent, words = self._room(queue, door)
            self.observer.sweep_started(str(self.folder.path), queue.total, queue.left, concurrent)
            if words:
                self.observer.notice(words)
            run_trials(
                plan,
                queue,
                concurrent=concurrent,
                scheduler=scheduler(),
                leaving=leaving,
                on_moved=self._moved(plan, leaving),
                door=door,
            )
        finally:
            if not connected_before:
                ray_session.disconnect()

    def _moved(self, plan: SweepPlan, leaving: Leaving) -> Callable[[str], None]:
        teller = TrialTeller(self.folder, self.observer, self.spec)
        watch = MetricWatch(plan, leaving)

        def moved(trial_id: str) -> None:
            watch.moved(trial_id)
            teller.moved(trial_id)

        return moved

    def _room(self, queue: TrialQueue, door: JobDoor | None) -> tuple[int, str]:
        """Return how many trials run at a time; in a service's queue there is always room."""
        import ray

        wanted = min(self.spec.concurrent, queue.left)
        if door is not None:
            return wanted, ""
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        grows = self.base.platform.ray.address is not None
        return room_for(self.base.resources, wanted, there, grows=grows)

    def _scheduler(self, earlier: list[Mapping[int, float]]) -> Callable[[], Any]:
        asha, steps = self.spec.asha, self._steps()
        if asha is None or steps is None:
            return lambda: None

        def make() -> Any:
            from gimbal.sweeps.scheduler import EarlyStopping

            return EarlyStopping(asha, steps, earlier)

        return make

    def _steps(self) -> int | None:
        steps = [stage.train.steps for stage in self.stages if isinstance(stage, TrainStage)]
        return steps[0] if len(steps) == 1 else None

    def _left(self) -> int:
        """Return how many trials have not ended."""
        return TrialQueue(self.spec, self.sweep.axes, self.folder.trials()).left

    def _best(self) -> Any:
        return best_of(self.folder.trials(), self.spec.mode, self.spec.seeds)

    def _outcome(self) -> SweepOutcome:
        page = self.folder.comparison
        return SweepOutcome(
            folder=self.folder,
            record=self.folder.record(),
            trials=tuple(self.folder.trials()),
            best=self._best(),
            comparison=str(page.absolute()) if page.exists() else None,
        )

    def _compare(self) -> None:
        """Write the page."""
        if not any(trial.status is TrialStatus.FINISHED for trial in self.folder.trials()):
            return
        try:
            from gimbal.comparison.page import write_page
            from gimbal.comparison.sweeps import compare_sweep

            write_page(compare_sweep(self.folder), self.folder.comparison)
        except Exception as error:  # whatever breaks in the page must not cost hours of results
            self.observer.notice(f"the trials could not be compared: {error}")


def _require_door(known: Sequence[TrialRecord], door: JobDoor | None) -> None:
    """Refuse to run trials here whose jobs the service may still run.

    Raises:
        ConfigError: There are such.
    """
    jobs = [trial.job for trial in known if trial.job and not trial.status.is_terminal]
    if jobs and door is None:
        raise ConfigError(
            f"{len(jobs)} trials of this sweep are jobs of the service ({jobs[0]}, …)",
            "go on with --submit",
        )
