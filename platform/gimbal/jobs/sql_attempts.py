"""What only the controller may change: every method holds its lease and names the job it read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from gimbal.jobs import changes
from gimbal.jobs.model import Job, JobState, Stale, StopWhy
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_leases import require_lease
from gimbal.jobs.sql_rows import load, save
from gimbal.jobs.sql_schema import peaks
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, Grant


class SqlAttempts:
    """The part of `JobStore` that needs a lease; see there for every method."""

    _db: Database

    def note_wait(self, lease: Lease, job: Job, *, reason: str, detail: str) -> Job:
        """Record why a pending job waits."""
        return self._change(lease, job, lambda stored: changes.waiting(stored, reason, detail))

    def intend(
        self,
        lease: Lease,
        job: Job,
        *,
        grants: Sequence[Grant],
        gpus: Sequence[Mapping[str, Any]],
        now: datetime,
    ) -> Job:
        """Add an attempt and make the job RUNNING, if its cards are not given away."""
        changes.require_shares(grants)
        return self._change(lease, job, lambda stored: changes.intended(stored, grants, gpus, now))

    def launching(self, lease: Lease, job: Job) -> Job:
        """Move the current attempt to LAUNCHING."""
        return self._change(lease, job, changes.launching)

    def launched(self, lease: Lease, job: Job, *, now: datetime) -> Job:
        """Move the current attempt to RUNNING."""
        return self._change(lease, job, lambda stored: changes.launched(stored, now))

    def note_run(
        self,
        lease: Lease,
        job: Job,
        *,
        used: Sequence[GpuUuid] | None = None,
        run_dir: str | None = None,
        peak_bytes: int | None = None,
    ) -> Job:
        """Record what the running attempt reported, and the peak for others like it."""

        def work(connection: Connection) -> Job:
            stored = _current(connection, lease, job)
            new = save(connection, stored, changes.reported(stored, used, run_dir, peak_bytes))
            if peak_bytes and job.spec.peak_key:
                _raise_peak(connection, job.spec.peak_key, peak_bytes)
            return new

        return self._db.write(work)

    def ask_to_stop(
        self, lease: Lease, job: Job, *, why: StopWhy, now: datetime, deadline: datetime
    ) -> Job:
        """Record that the current attempt is asked to leave."""
        return self._change(
            lease, job, lambda stored: changes.asked_to_stop(stored, why, now, deadline)
        )

    def end_attempt(
        self,
        lease: Lease,
        job: Job,
        *,
        state: JobState,
        now: datetime,
        failure: FailureClass | None = None,
        reason: str = "",
        exit_code: int | None = None,
        gpus: Sequence[Mapping[str, Any]] = (),
        not_before: datetime | None = None,
        avoid: Mapping[GpuUuid, datetime] | None = None,
    ) -> Job:
        """End the current attempt; cards to avoid are added to those that still are avoided."""
        ending = changes.Ending(
            state=state,
            now=now,
            failure=failure,
            reason=reason,
            exit_code=exit_code,
            gpus=tuple(dict(gpu) for gpu in gpus),
            not_before=not_before,
            avoid=avoid,
        )
        return self._change(lease, job, lambda stored: changes.ended(stored, ending))

    def fail_pending(
        self, lease: Lease, job: Job, *, reason: str, detail: str, now: datetime
    ) -> Job:
        """End a pending job that can never run."""
        return self._change(
            lease, job, lambda stored: changes.failed_pending(stored, reason, detail, now)
        )

    def peak(self, peak_key: str) -> int:
        """Return the largest measured peak of jobs with this key."""
        query = select(peaks.c.peak_bytes).where(peaks.c.peak_key == peak_key)
        found = self._db.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return found or 0

    def _change(self, lease: Lease, job: Job, change: Callable[[Job], Job]) -> Job:
        def work(connection: Connection) -> Job:
            stored = _current(connection, lease, job)
            return save(connection, stored, change(stored))

        return self._db.write(work)


def _current(connection: Connection, lease: Lease, job: Job) -> Job:
    require_lease(connection, lease)
    stored = load(connection, job.id, lock=True)
    if stored.version != job.version:
        raise Stale(
            f"{job.id} was read as version {job.version} and is {stored.version} now",
            "read it again",
        )
    return stored


def _raise_peak(connection: Connection, peak_key: str, peak_bytes: int) -> None:
    # No upsert is needed: whoever writes here holds the lease's row.
    known = connection.execute(
        select(peaks.c.peak_bytes).where(peaks.c.peak_key == peak_key)
    ).scalar_one_or_none()
    if known is None:
        connection.execute(insert(peaks).values(peak_key=peak_key, peak_bytes=peak_bytes))
    elif known < peak_bytes:
        raised = update(peaks).where(peaks.c.peak_key == peak_key)
        connection.execute(raised.values(peak_bytes=peak_bytes))
