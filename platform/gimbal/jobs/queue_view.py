"""Jobs as the policy sees them: what a waiting one asks for, what a running one holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gimbal.jobs.model import Attempt, Job
from gimbal.scheduling.model import Gpu, Request, Running


def request_of(job: Job, memory_bytes: int | None, now: datetime) -> Request:
    """Return what a waiting job asks for.

    Waits that were counted from a moment still to come are over: they were written before the clock
    was set back, and could last for hours.

    Args:
        job: The job.
        memory_bytes: What to admit it with, see `needed_bytes`.
        now: Cards it avoids only until earlier are not avoided any more.
    """
    last = job.attempts[-1].ended_at if job.attempts else None
    counts = last is None or last <= now
    return Request(
        job_id=job.id,
        user=job.spec.user,
        priority=job.spec.priority,
        submitted_at=job.submitted_at.timestamp(),
        gpus=job.spec.gpus,
        share=job.spec.share,
        memory_bytes=memory_bytes,
        not_before=job.not_before.timestamp() if job.not_before and counts else 0.0,
        avoid=frozenset(uuid for uuid, until in job.avoid.items() if until > now and counts),
    )


def running_of(job: Job, attempt: Attempt) -> Running:
    """Return what a job holds, from the moment its cards were granted."""
    return Running(
        job_id=job.id,
        user=job.spec.user,
        priority=job.spec.priority,
        started_at=attempt.granted_at.timestamp(),
        grants=attempt.grants,
        stopping=attempt.stop_why is not None or job.cancel_requested,
    )


def needed_bytes(
    stated_bytes: int | None, peak_bytes: int, margin: float, gpus: Sequence[Gpu]
) -> int | None:
    """Return what to admit a job with; None: nothing is known.

    A margin is added to a measured peak, but never beyond the largest card: what ran there once
    fits there again.

    Args:
        stated_bytes: What its user stated for each card; None: nothing.
        peak_bytes: The most a job like it was measured to hold; 0: none was.
        margin: Factor on the peak.
        gpus: Every card of the cluster.
    """
    if not peak_bytes:
        return stated_bytes
    largest = max((gpu.total_bytes for gpu in gpus), default=0)
    wanted = int(peak_bytes * margin)
    measured = max(peak_bytes, min(wanted, largest)) if largest else wanted
    return max(measured, stated_bytes or 0)
