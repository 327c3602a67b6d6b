"""Compares every attempt of the store with Ray, and finishes or undoes what was begun.

An attempt that Ray does not know is believed lost only after several answers over some seconds: a
head that has just been restarted may answer before it has read its tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from gimbal.jobs.controller.ending import Ender, Ending
from gimbal.jobs.controller.events import event, trouble
from gimbal.jobs.controller.observing import Observation, Observer, read_attempt
from gimbal.jobs.controller.starting import Starter
from gimbal.jobs.controller.stopping import Stopper
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Attempt, AttemptPhase, Job, JobState, LeaseLost, Stale
from gimbal.jobs.ports import LaunchReport, LaunchStatus, LaunchUnavailable
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import Condition

_LOST = "Ray lost the job: its head or its node was restarted."


@dataclass(kw_only=True, slots=True)
class _Absence:
    """Since when, and in how many answers, Ray has not known an attempt."""

    since: float
    answers: int = 0


class Reconciler:
    """Brings store and Ray together.

    Args:
        world: The outside.
        observer: Reads attempts' files.
        starter: Goes on with attempts that are half started.
        stopper: Goes on with stops.
        ender: Ends attempts.
    """

    def __init__(
        self, world: World, observer: Observer, starter: Starter, stopper: Stopper, ender: Ender
    ) -> None:
        self._world = world
        self._observer = observer
        self._starter = starter
        self._stopper = stopper
        self._ender = ender
        self._absences: dict[str, _Absence] = {}

    def reconcile(self, tick: Tick) -> None:
        """Look at every attempt that has not ended.

        Raises:
            LeaseLost: Another controller took over.
        """
        for job in list(tick.jobs.values()):
            attempt = job.current
            if attempt is not None and tick.patient:
                self._guarded(tick, job, attempt)
        active = frozenset(
            job.current.submission_id for job in tick.jobs.values() if job.current is not None
        )
        self._stopper.forget_all_but(active)
        self._absences = {name: seen for name, seen in self._absences.items() if name in active}

    def _guarded(self, tick: Tick, job: Job, attempt: Attempt) -> None:
        try:
            self._one(tick, job, attempt)
        except LeaseLost:
            raise
        except Stale:
            event("job_changed_meanwhile", job=job.id)
        except LaunchUnavailable as error:
            tick.unanswered.append(str(error))
        except Exception as error:  # one job's trouble must not keep the others from being seen to
            trouble("reconcile_failed", error, job=job.id)

    def _one(self, tick: Tick, job: Job, attempt: Attempt) -> None:
        report = tick.reports.get(attempt.submission_id)
        if report is not None:
            self._known(tick, job, attempt, report)
        elif attempt.phase is AttemptPhase.RUNNING:
            self._missing(tick, job, attempt)
        else:
            self._half_started(tick, job, attempt)

    def _known(self, tick: Tick, job: Job, attempt: Attempt, report: LaunchReport) -> None:
        if attempt.phase is not AttemptPhase.RUNNING:
            job = self._reached(tick, job, attempt)
            attempt = job.attempts[-1]
        if report.status.is_terminal:
            if self._certain(job, attempt, report) or self._gone(attempt):
                self._ender.finished(tick, job, attempt, report)
            return
        self._absences.pop(attempt.submission_id, None)
        if self._observer.due(attempt):
            job, _ = self._observer.observe(tick, job, attempt)
        self._stopper.enforce(tick, job, attempt)

    def _certain(self, job: Job, attempt: Attempt, report: LaunchReport) -> bool:
        """Return whether the driver has ended, and not only its supervisor in Ray.

        A driver outlives its supervisor by a second or two, and may even finish meanwhile.
        """
        if report.status is not LaunchStatus.FAILED or report.exit_code is not None:
            return True
        return read_attempt(self._world.folder(job, attempt)).outcome is not None

    def _reached(self, tick: Tick, job: Job, attempt: Attempt) -> Job:
        """Catch up with an attempt that Ray has although the store does not say so yet."""
        if attempt.phase is AttemptPhase.INTENDED:
            job = tick.saw(self._world.store.launching(self._world.lease(), job))
        return self._starter.launched(tick, job)

    def _half_started(self, tick: Tick, job: Job, attempt: Attempt) -> None:
        """Go on with an attempt that Ray has not got, or undo it if nobody wants it any more."""
        found = read_attempt(self._world.folder(job, attempt))
        if found.began:
            self._missing(tick, job, attempt, found)
        elif job.cancel_requested:
            self._ender.cancelled(tick, job, attempt)
        elif attempt.stop_why is not None:
            self._ender.end(tick, job, attempt, _MADE_ROOM)
        elif trouble_there := _trouble_on(tick, attempt):
            self._starter.contended(tick, job, attempt, trouble_there)
        else:
            event("going_on_with_start", job=job.id, phase=attempt.phase.value)
            self._starter.start(tick, job, attempt)

    def _missing(
        self, tick: Tick, job: Job, attempt: Attempt, found: Observation | None = None
    ) -> None:
        """Deal with an attempt that has run but that Ray does not know."""
        found = found or read_attempt(self._world.folder(job, attempt))
        if not self._gone(attempt):
            return
        if attempt.phase is not AttemptPhase.RUNNING:
            job = self._reached(tick, job, attempt)
            attempt = job.attempts[-1]
        if found.outcome is not None:
            self._ender.finished(tick, job, attempt, None)
        else:
            self._ender.lost(tick, job, attempt, _LOST)

    def _gone(self, attempt: Attempt) -> bool:
        passed = self._world.clock.monotonic()
        absence = self._absences.setdefault(attempt.submission_id, _Absence(since=passed))
        absence.answers += 1
        settings = self._world.settings
        return (
            absence.answers >= settings.absent_answers
            and passed - absence.since >= settings.absent_after_s
        )


def _trouble_on(tick: Tick, attempt: Attempt) -> str:
    """Return what forbids starting on an attempt's cards now; empty: nothing.

    They were granted by a controller that has died since, and may have been reserved: a neighbour
    can have come all the same.
    """
    known = {gpu.uuid: gpu for gpu in tick.gpus}
    for grant in attempt.grants:
        gpu = known.get(grant.uuid)
        if gpu is None:
            return f"{grant.node} does not show {grant.uuid} any more"
        if gpu.condition not in (Condition.FREE, Condition.OURS):
            return f"{gpu.label} is {gpu.condition.value}"
    return ""


_MADE_ROOM = Ending(
    state=JobState.PENDING,
    reason="It was asked to make room before it had started.",
    failure=FailureClass.PREEMPTED,
)
