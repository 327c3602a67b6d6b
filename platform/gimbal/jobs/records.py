"""Rows and the frozen records they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from gimbal.jobs.model import (
    Attempt,
    AttemptPhase,
    Hold,
    Job,
    JobSpec,
    JobState,
    Quarantine,
    StopWhy,
)
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, Grant, JobId, NodeName

Values = dict[str, Any]
"""Column values by name."""


def spec_values(spec: JobSpec) -> Values:
    """Return the columns of what was asked for."""
    return {
        "user_name": spec.user,
        "workload": spec.workload,
        "experiment": spec.experiment,
        "config": spec.config,
        "gpus": spec.gpus,
        "share": spec.share,
        "memory_bytes": spec.memory_bytes,
        "priority": spec.priority,
        "peak_key": spec.peak_key,
    }


def status_values(job: Job) -> Values:
    """Return the columns of a job that may change, except its version."""
    return {
        "state": job.state.value,
        "reason": job.reason,
        "detail": job.detail,
        "cancel_requested": job.cancel_requested,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "not_before": job.not_before,
        "avoid": {uuid: until.isoformat() for uuid, until in job.avoid.items()},
    }


def attempt_values(attempt: Attempt) -> Values:
    """Return the columns of an attempt, except its key."""
    return {
        "phase": attempt.phase.value,
        "submission_id": attempt.submission_id,
        "granted_at": attempt.granted_at,
        "launched_at": attempt.launched_at,
        "ended_at": attempt.ended_at,
        "gpus": sum(grant.share for grant in attempt.grants),
        "stop_why": attempt.stop_why and attempt.stop_why.value,
        "stop_at": attempt.stop_at,
        "stop_deadline": attempt.stop_deadline,
        "failure": attempt.failure and attempt.failure.value,
        "reason": attempt.reason,
        "exit_code": attempt.exit_code,
        "peak_bytes": attempt.peak_bytes,
        "run_dir": attempt.run_dir,
        "grants": [asdict(grant) for grant in attempt.grants],
        "used": list(attempt.used),
        "gpus_at_launch": list(attempt.gpus_at_launch),
        "gpus_at_end": list(attempt.gpus_at_end),
    }


def jobs_of(rows: Iterable[Row[Any]], attempt_rows: Iterable[Row[Any]]) -> tuple[Job, ...]:
    """Join jobs with their attempts.

    Args:
        rows: Jobs, in the order wanted.
        attempt_rows: Their attempts, each job's oldest first.
    """
    tried: dict[str, list[Attempt]] = {}
    for row in attempt_rows:
        tried.setdefault(row.job_id, []).append(_attempt(row))
    return tuple(_job(row, tried.get(row.id, ())) for row in rows)


def _job(row: Row[Any], tried: Sequence[Attempt]) -> Job:
    return Job(
        id=JobId(row.id),
        spec=_spec(row),
        state=JobState(row.state),
        reason=row.reason,
        detail=row.detail,
        cancel_requested=row.cancel_requested,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        not_before=row.not_before,
        avoid=_avoid(row.avoid),
        retry_of=row.retry_of and JobId(row.retry_of),
        attempts=tuple(tried),
        version=row.version,
    )


def _avoid(stored: Mapping[str, str]) -> dict[GpuUuid, datetime]:
    return {GpuUuid(uuid): datetime.fromisoformat(until) for uuid, until in stored.items()}


def _spec(row: Row[Any]) -> JobSpec:
    return JobSpec(
        workload=row.workload,
        experiment=row.experiment,
        config=row.config,
        user=row.user_name,
        gpus=row.gpus,
        share=row.share,
        memory_bytes=row.memory_bytes,
        priority=row.priority,
        peak_key=row.peak_key,
    )


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        number=row.number,
        phase=AttemptPhase(row.phase),
        submission_id=row.submission_id,
        grants=tuple(_grant(grant) for grant in row.grants),
        granted_at=row.granted_at,
        launched_at=row.launched_at,
        ended_at=row.ended_at,
        used=tuple(row.used),
        stop_why=row.stop_why and StopWhy(row.stop_why),
        stop_at=row.stop_at,
        stop_deadline=row.stop_deadline,
        failure=row.failure and FailureClass(row.failure),
        reason=row.reason,
        exit_code=row.exit_code,
        gpus_at_launch=tuple(row.gpus_at_launch),
        gpus_at_end=tuple(row.gpus_at_end),
        peak_bytes=row.peak_bytes,
        run_dir=row.run_dir,
    )


def _grant(stored: Mapping[str, Any]) -> Grant:
    return Grant(
        uuid=GpuUuid(stored["uuid"]),
        node=NodeName(stored["node"]),
        share=stored["share"],
        memory_bytes=stored["memory_bytes"],
    )


def hold_of(row: Row[Any]) -> Hold:
    """Return the hold of a row."""
    return Hold(
        id=row.id,
        node=row.node,
        index=row.gpu_index,
        uuid=row.uuid and GpuUuid(row.uuid),
        user=row.user_name,
        reason=row.reason,
        since=row.since,
        until=row.until,
    )


def quarantine_of(row: Row[Any]) -> Quarantine:
    """Return the quarantine of a row."""
    return Quarantine(
        uuid=GpuUuid(row.uuid),
        node=row.node,
        index=row.gpu_index,
        reason=row.reason,
        since=row.since,
    )
