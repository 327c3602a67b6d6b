"""A job store in a dictionary, for tests that need thousands of them.

It changes jobs by the store's own pure functions and keeps the same guards: lease, version, shares
of a card. What the controller's tests prove on it, fewer of them prove again on the real store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gimbal.jobs import changes
from gimbal.jobs.model import (
    Hold,
    Job,
    JobNotFound,
    JobSpec,
    JobState,
    LeaseLost,
    Quarantine,
    Stale,
    StopWhy,
)
from gimbal.jobs.ports import Lease
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, Grant, JobId

EPSILON = 1e-9


class DictJobStore:
    def __init__(self) -> None:
        self.jobs: dict[JobId, Job] = {}
        self.peaks: dict[str, int] = {}
        self.lease: Lease | None = None
        self.held: tuple[Hold, ...] = ()
        self.broken: dict[GpuUuid, Quarantine] = {}
        self.leases_given = 0

    def submit(self, spec: JobSpec, *, now: datetime) -> tuple[Job, bool]:
        job_id = JobId(f"job-{len(self.jobs):04d}")
        self.jobs[job_id] = Job(id=job_id, spec=spec, state=JobState.PENDING, submitted_at=now)
        return self.jobs[job_id], True

    def get(self, job_id: JobId) -> Job:
        if job_id not in self.jobs:
            raise JobNotFound(f"there is no {job_id}")
        return self.jobs[job_id]

    def active(self) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs.values() if not job.state.is_terminal)

    def request_cancel(self, job_id: JobId, *, now: datetime) -> Job:
        return self._save(self.get(job_id), changes.cancelled(self.get(job_id), now))

    def take_lease(self, owner: str, *, now: datetime, seconds: float) -> Lease | None:
        held = self.lease
        if held is not None and held.owner != owner and now < held.expires_at:
            return None
        self.leases_given += 1
        until = now + timedelta(seconds=seconds)
        self.lease = Lease(owner=owner, token=str(self.leases_given), expires_at=until)
        return self.lease

    def renew_lease(self, lease: Lease, *, now: datetime, seconds: float) -> Lease:
        self._require(lease)
        self.lease = replace(lease, expires_at=now + timedelta(seconds=seconds))
        return self.lease

    def drop_lease(self, lease: Lease) -> None:
        if self.lease is not None and self.lease.token == lease.token:
            self.lease = None

    def note_wait(self, lease: Lease, job: Job, *, reason: str, detail: str) -> Job:
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
        for grant in grants:
            others = sum(
                other.share
                for active in self.active()
                if active.current is not None
                for other in active.current.grants
                if other.uuid == grant.uuid
            )
            if others + grant.share > 1 + EPSILON:
                raise Stale(f"{grant.uuid} is given away")
        return self._change(lease, job, lambda stored: changes.intended(stored, grants, gpus, now))

    def launching(self, lease: Lease, job: Job) -> Job:
        return self._change(lease, job, changes.launching)

    def launched(self, lease: Lease, job: Job, *, now: datetime) -> Job:
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
        key = job.spec.peak_key
        if peak_bytes and key:
            self.peaks[key] = max(peak_bytes, self.peaks.get(key, 0))
        return self._change(
            lease, job, lambda stored: changes.reported(stored, used, run_dir, peak_bytes)
        )

    def ask_to_stop(
        self, lease: Lease, job: Job, *, why: StopWhy, now: datetime, deadline: datetime
    ) -> Job:
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
        return self._change(
            lease, job, lambda stored: changes.failed_pending(stored, reason, detail, now)
        )

    def peak(self, peak_key: str) -> int:
        return self.peaks.get(peak_key, 0)

    def usage_gpu_s(self, *, now: datetime, half_life_s: float) -> Mapping[str, float]:
        return {}

    def holds(self, *, now: datetime) -> tuple[Hold, ...]:
        return tuple(hold for hold in self.held if hold.until > now)

    def quarantine(self, lease: Lease, card: Quarantine) -> bool:
        self._require(lease)
        return self.broken.setdefault(card.uuid, card) is card

    def quarantines(self) -> tuple[Quarantine, ...]:
        return tuple(self.broken.values())

    def end_quarantine(self, uuid: GpuUuid) -> Quarantine | None:
        return self.broken.pop(uuid, None)

    def _require(self, lease: Lease) -> None:
        if self.lease is None or self.lease.token != lease.token:
            raise LeaseLost("another controller leads")

    def _change(self, lease: Lease, job: Job, change: Callable[[Job], Job]) -> Job:
        self._require(lease)
        stored = self.get(job.id)
        if stored.version != job.version:
            raise Stale(f"{job.id} changed")
        return self._save(stored, change(stored))

    def _save(self, stored: Job, new: Job) -> Job:
        if new is not stored:
            new = replace(new, version=stored.version + 1)
        self.jobs[new.id] = new
        return new
