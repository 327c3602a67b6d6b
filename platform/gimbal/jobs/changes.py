"""Every way a job may change, as functions from a job to the job it becomes.

Pure, so that the rules can be read and tested without a database; the store runs them on the row it
has locked. A function that has nothing to change returns its argument itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gimbal.errors import GimbalError
from gimbal.jobs.model import (
    Attempt,
    AttemptPhase,
    IllegalTransition,
    Job,
    JobState,
    StopWhy,
    require_transition,
)
from gimbal.jobs.submission import submission_id
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, Grant


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How an attempt ended and what becomes of its job; see `JobStore.end_attempt`."""

    state: JobState
    now: datetime
    failure: FailureClass | None = None
    reason: str = ""
    exit_code: int | None = None
    gpus: tuple[dict[str, Any], ...] = ()
    not_before: datetime | None = None
    avoid: Mapping[GpuUuid, datetime] | None = None


def cancelled(job: Job, now: datetime) -> Job:
    """Note that a user wants its end; without an attempt it ends at once."""
    if job.state is JobState.RUNNING:
        return job if job.cancel_requested else replace(job, cancel_requested=True)
    require_transition(job.state, JobState.STOPPED)
    return replace(
        job,
        state=JobState.STOPPED,
        cancel_requested=True,
        ended_at=now,
        reason="",
        detail="cancelled while it waited",
    )


def waiting(job: Job, reason: str, detail: str) -> Job:
    """Record why a pending job waits."""
    _require_pending(job, "wait")
    if (job.reason, job.detail) == (reason, detail):
        return job
    return replace(job, reason=reason, detail=detail)


def intended(
    job: Job, grants: Sequence[Grant], gpus: Sequence[Mapping[str, Any]], now: datetime
) -> Job:
    """Add an attempt that has its cards and nothing else yet."""
    require_transition(job.state, JobState.RUNNING)
    number = len(job.attempts) + 1
    attempt = Attempt(
        number=number,
        phase=AttemptPhase.INTENDED,
        submission_id=submission_id(job.id, number),
        grants=tuple(grants),
        granted_at=now,
        gpus_at_launch=tuple(dict(gpu) for gpu in gpus),
    )
    return replace(
        job,
        state=JobState.RUNNING,
        reason="",
        detail="",
        not_before=None,
        attempts=(*job.attempts, attempt),
    )


def launching(job: Job) -> Job:
    """Move from INTENDED to LAUNCHING."""
    return _moved(job, AttemptPhase.INTENDED, AttemptPhase.LAUNCHING)


def launched(job: Job, now: datetime) -> Job:
    """Move from LAUNCHING to RUNNING."""
    moved = _moved(job, AttemptPhase.LAUNCHING, AttemptPhase.RUNNING)
    return replace(_with_current(moved, launched_at=now), started_at=job.started_at or now)


def reported(
    job: Job, used: Sequence[GpuUuid] | None, run_dir: str | None, peak_bytes: int | None
) -> Job:
    """Record what the attempt said of itself; a peak never falls."""
    attempt = _current(job)
    told: dict[str, Any] = {}
    if used is not None:
        told["used"] = tuple(used)
    if run_dir is not None:
        told["run_dir"] = run_dir
    if peak_bytes is not None:
        told["peak_bytes"] = max(peak_bytes, attempt.peak_bytes)
    new = replace(attempt, **told)
    return job if new == attempt else _with_current(job, **told)


def asked_to_stop(job: Job, why: StopWhy, now: datetime, deadline: datetime) -> Job:
    """Ask the attempt to leave; an earlier request stays."""
    if _current(job).stop_why is not None:
        return job
    return _with_current(job, stop_why=why, stop_at=now, stop_deadline=deadline)


def ended(job: Job, ending: Ending) -> Job:
    """End the attempt; the job ends too or is queued again."""
    require_transition(job.state, ending.state)
    if ending.state is JobState.PENDING and job.cancel_requested:
        raise IllegalTransition(f"{job.id} was cancelled: it cannot be queued again")
    done = _with_current(
        job,
        phase=AttemptPhase.ENDED,
        ended_at=ending.now,
        failure=ending.failure,
        reason=ending.reason,
        exit_code=ending.exit_code,
        gpus_at_end=ending.gpus,
    )
    return replace(
        done,
        state=ending.state,
        reason=ending.failure.value if ending.failure else "",
        detail=ending.reason,
        ended_at=ending.now if ending.state.is_terminal else None,
        not_before=ending.not_before,
        avoid=_merged(job.avoid, ending),
    )


def failed_pending(job: Job, reason: str, detail: str, now: datetime) -> Job:
    """End a job that can never run."""
    _require_pending(job, "fail before it runs")
    return replace(job, state=JobState.FAILED, reason=reason, detail=detail, ended_at=now)


def _merged(avoid: Mapping[GpuUuid, datetime], ending: Ending) -> dict[GpuUuid, datetime]:
    kept = {uuid: until for uuid, until in avoid.items() if until > ending.now}
    return {**kept, **(ending.avoid or {})}


def _current(job: Job) -> Attempt:
    if job.current is None:
        raise IllegalTransition(f"{job.id} is {job.state} and has no attempt that could change")
    return job.current


def _with_current(job: Job, **fields: Any) -> Job:
    return replace(job, attempts=(*job.attempts[:-1], replace(_current(job), **fields)))


def _moved(job: Job, before: AttemptPhase, after: AttemptPhase) -> Job:
    phase = _current(job).phase
    if phase is not before:
        raise IllegalTransition(f"attempt of {job.id} is {phase}: it cannot become {after}")
    return _with_current(job, phase=after)


def _require_pending(job: Job, what: str) -> None:
    if job.state is not JobState.PENDING:
        raise IllegalTransition(f"{job.id} is {job.state}: it cannot {what}")


def require_shares(grants: Sequence[Grant]) -> None:
    """Refuse shares that are none of a card.

    Raises:
        GimbalError: A share is not above 0 and at most 1.
    """
    for grant in grants:
        if not 0 < grant.share <= 1:
            raise GimbalError(f"a share of {grant.share} of {grant.uuid} cannot be granted")
