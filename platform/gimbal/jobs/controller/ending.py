"""Ends attempts: what the job becomes, what is remembered, and that the cards are let go.

The store is written before the cards are let go. A controller that dies in between leaves a
reservation nobody owns, which the next tick lets go; the other order could give a card to two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gimbal.experiment.attempt import EXIT_PREEMPTED
from gimbal.jobs.controller.events import event
from gimbal.jobs.controller.evidence import cards_at_failure, exit_code_of, failure_case
from gimbal.jobs.controller.needs import Needs
from gimbal.jobs.controller.observing import Observation, Observer
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Attempt, Job, JobState, Quarantine, StopWhy
from gimbal.jobs.ports import LaunchReport, LaunchStatus, LaunchUnavailable
from gimbal.scheduling.failure_model import Diagnosis, FailureCase, FailureClass, GiveUp
from gimbal.scheduling.failures import classify
from gimbal.scheduling.model import GpuUuid
from gimbal.scheduling.retrying import UNCOUNTED, decide_retry


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt ends and what its job becomes."""

    state: JobState
    reason: str
    failure: FailureClass | None = None
    exit_code: int | None = None
    not_before: datetime | None = None
    avoid: Mapping[GpuUuid, datetime] = field(default_factory=dict)


class Ender:
    """Ends attempts.

    Args:
        world: The outside.
        observer: Reads an attempt's files a last time.
        needs: Knows how much memory jobs need.
    """

    def __init__(self, world: World, observer: Observer, needs: Needs) -> None:
        self._world = world
        self._observer = observer
        self._needs = needs

    def finished(self, tick: Tick, job: Job, attempt: Attempt, report: LaunchReport | None) -> None:
        """End an attempt whose driver has ended, by Ray's word or its own.

        Args:
            tick: This round.
            job: The job.
            attempt: Its current attempt.
            report: What Ray says; None: Ray does not know it, but the driver left its outcome.

        Raises:
            Stale: The job changed meanwhile; the next tick ends it.
            LeaseLost: Another controller took over.
        """
        job, found = self._observer.observe(tick, job, attempt)
        code = exit_code_of(found, report)
        if code == 0 or (report is not None and report.status is LaunchStatus.SUCCEEDED):
            self.end(tick, job, attempt, Ending(state=JobState.SUCCEEDED, reason="", exit_code=0))
        elif job.cancel_requested or attempt.stop_why is StopWhy.CANCEL:
            self.cancelled(tick, job, attempt, exit_code=code)
        elif attempt.stop_why is StopWhy.PREEMPT and code == EXIT_PREEMPTED:
            self.diagnosed(tick, job, attempt, _PREEMPTED, exit_code=code)
        else:
            self._failed(tick, job, attempt, found, report)

    def cancelled(
        self, tick: Tick, job: Job, attempt: Attempt, *, exit_code: int | None = None
    ) -> None:
        """End an attempt because its user wanted the job to end."""
        reason = "cancelled by its user"
        ending = Ending(state=JobState.STOPPED, reason=reason, exit_code=exit_code)
        self.end(tick, job, attempt, ending)

    def lost(self, tick: Tick, job: Job, attempt: Attempt, reason: str) -> None:
        """End an attempt that Ray lost, and queue its job again."""
        if job.cancel_requested:
            self.cancelled(tick, job, attempt)
            return
        diagnosis = Diagnosis(failure=FailureClass.INFRA, reason=reason)
        self.diagnosed(tick, job, attempt, diagnosis, settle=True)

    def diagnosed(
        self,
        tick: Tick,
        job: Job,
        attempt: Attempt,
        diagnosis: Diagnosis,
        *,
        exit_code: int | None = None,
        settle: bool = False,
        avoid_for: timedelta | None = None,
    ) -> None:
        """End an attempt for a known reason, and queue its job again if its budget allows.

        Args:
            tick: This round.
            job: The job.
            attempt: Its current attempt.
            diagnosis: What its failure was.
            exit_code: The driver's exit status.
            settle: Its driver may not be quite dead yet.
            avoid_for: How long blamed cards are avoided; None: as long as after a contention.
        """
        now = self._world.now()
        history = tuple(a.failure for a in job.attempts[:-1] if a.failure is not None)
        decision = decide_retry(
            history,
            diagnosis,
            now=now.timestamp(),
            first_failure_at=_first_counted_at(job),
            settings=self._world.retry,
            seed=job.id,
        )
        self._quarantine(tick, attempt, diagnosis)
        if isinstance(decision, GiveUp):
            words = f"{diagnosis.reason} {decision.reason}".strip()
            ending = Ending(
                state=JobState.FAILED,
                reason=words,
                failure=diagnosis.failure,
                exit_code=exit_code,
            )
        else:
            settled = now + timedelta(seconds=self._world.settings.settle_s if settle else 0.0)
            ending = Ending(
                state=JobState.PENDING,
                reason=f"{diagnosis.reason} {decision.reason}".strip(),
                failure=diagnosis.failure,
                exit_code=exit_code,
                not_before=max(datetime.fromtimestamp(decision.at, UTC), settled),
                avoid=self._avoid(job, diagnosis, now, avoid_for),
            )
        self.end(tick, job, attempt, ending)

    def end(self, tick: Tick, job: Job, attempt: Attempt, ending: Ending) -> None:
        """Write an attempt's end, then let its cards go.

        Raises:
            Stale: The job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        ended = self._world.store.end_attempt(
            self._world.lease(),
            job,
            state=ending.state,
            now=self._world.now(),
            failure=ending.failure,
            reason=ending.reason,
            exit_code=ending.exit_code,
            gpus=tick.cards(attempt),
            not_before=ending.not_before,
            avoid=ending.avoid,
        )
        tick.saw(ended)
        tick.ended += 1
        self._count(ending)
        self._observer.forget(attempt.submission_id)
        self._needs.measured(job.spec.peak_key)
        event(
            "attempt_ended",
            job=job.id,
            attempt=attempt.number,
            state=ending.state.value,
            failure=ending.failure.value if ending.failure else None,
            exit_code=ending.exit_code,
            reason=ending.reason,
        )
        self._free(tick, attempt)

    def _failed(
        self,
        tick: Tick,
        job: Job,
        attempt: Attempt,
        found: Observation,
        report: LaunchReport | None,
    ) -> None:
        siblings = frozenset(
            grant.uuid
            for other in tick.jobs.values()
            if other.id != job.id and other.current is not None
            for grant in other.current.grants
        )
        case = failure_case(
            attempt,
            found,
            report,
            cards=cards_at_failure(attempt, found, tick.gpus, siblings),
            need_bytes=self._needs.known_bytes(job.spec),
            log=self._world.folder(job, attempt).log,
        )
        diagnosis = classify(case)
        if diagnosis.failure is FailureClass.UNKNOWN and _driver_vanished(case):
            diagnosis = Diagnosis(failure=FailureClass.INFRA, reason=_VANISHED)
        settle = case.exit_code is None
        self.diagnosed(tick, job, attempt, diagnosis, exit_code=case.exit_code, settle=settle)

    def _count(self, ending: Ending) -> None:
        if ending.failure is None:
            return
        self._world.stats.failures[ending.failure] += 1
        if ending.state is JobState.PENDING:
            self._world.stats.retries[ending.failure] += 1

    def _avoid(
        self, job: Job, diagnosis: Diagnosis, now: datetime, avoid_for: timedelta | None
    ) -> Mapping[GpuUuid, datetime]:
        """Return the cards the job avoids: those it did already, and those blamed now."""
        usual = timedelta(seconds=self._world.settings.contended_avoid_s)
        until = now + (usual if avoid_for is None else avoid_for)
        known = {uuid: end for uuid, end in job.avoid.items() if end > now}
        return known | dict.fromkeys(diagnosis.blamed, until)

    def _quarantine(self, tick: Tick, attempt: Attempt, diagnosis: Diagnosis) -> None:
        """Store which cards are broken, and close them before this tick gives one to a job."""
        if not diagnosis.quarantine:
            return
        cards = (*attempt.gpus_at_launch, *tick.cards(attempt))
        known = {card["uuid"]: card for card in cards}
        for uuid in sorted(diagnosis.quarantine):
            card = Quarantine(
                uuid=uuid,
                node=known.get(uuid, {}).get("node", "?"),
                index=known.get(uuid, {}).get("index", -1),
                reason=diagnosis.reason,
                since=self._world.now(),
            )
            if self._world.store.quarantine(self._world.lease(), card):
                event("quarantined", level=logging.ERROR, uuid=uuid, reason=diagnosis.reason)
        self._world.push_quarantines()

    def _free(self, tick: Tick, attempt: Attempt) -> None:
        if not attempt.grants:
            return
        try:
            self._world.warden.free(attempt.submission_id)
        except LaunchUnavailable as error:
            tick.unanswered.append(str(error))  # the next tick finds the orphan


def _driver_vanished(case: FailureCase) -> bool:
    """Return whether Ray lost the driver: one that ended, however, has an exit status."""
    return case.exit_code is None and case.ray_status == LaunchStatus.FAILED.value.upper()


def _first_counted_at(job: Job) -> float | None:
    """Return when a job first failed in a way that counts."""
    counted = (
        attempt.ended_at.timestamp()
        for attempt in job.attempts
        if attempt.failure is not None
        and attempt.failure not in UNCOUNTED
        and attempt.ended_at is not None
    )
    return next(counted, None)


_VANISHED = "Ray lost the job's driver: nobody saw it end."
_PREEMPTED = Diagnosis(
    failure=FailureClass.PREEMPTED,
    reason="It was asked to make room for another job, and left after a checkpoint.",
)
