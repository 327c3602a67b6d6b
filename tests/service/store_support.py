"""What the tests of the job store share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gimbal.jobs.model import Job, JobSpec, JobState
from gimbal.jobs.ports import JobStore, Lease
from gimbal.scheduling.model import GpuUuid, Grant, NodeName

NOW = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
"""An hour before Europe's clocks change: nothing may depend on local time."""
CONFIG = {"workload": "nbv", "experiment": "e", "seed": 1, "train": {"steps": 40, "rate": 1e-3}}


def spec(**changes: Any) -> JobSpec:
    """Return what some user asks for."""
    asked: dict[str, Any] = {
        "workload": "nbv",
        "experiment": "e",
        "config": CONFIG,
        "user": "ada",
        "gpus": 1,
        "peak_key": "k",
    }
    return JobSpec(**{**asked, **changes})


def later(seconds: float) -> datetime:
    """Return a time after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def grant(uuid: str, share: float = 1.0, memory_bytes: int | None = None) -> Grant:
    """Return a grant of one card."""
    return Grant(uuid=GpuUuid(uuid), node=NodeName("n"), share=share, memory_bytes=memory_bytes)


def lease_of(store: JobStore, owner: str = "one", at: datetime = NOW) -> Lease:
    """Take the lease."""
    lease = store.take_lease(owner, now=at, seconds=30)
    assert lease is not None
    return lease


def submitted(store: JobStore, at: datetime = NOW, **changes: Any) -> Job:
    """Submit a job."""
    return store.submit(spec(**changes), now=at)[0]


def running(store: JobStore, lease: Lease, *uuids: str, at: datetime = NOW, **changes: Any) -> Job:
    """Submit a job and bring its attempt to RUNNING."""
    job = submitted(store, at, gpus=len(uuids), **changes)
    job = store.intend(lease, job, grants=[grant(uuid) for uuid in uuids], gpus=[], now=at)
    return store.launched(lease, store.launching(lease, job), now=at)


def ended(store: JobStore, lease: Lease, job: Job, state: JobState, at: datetime = NOW) -> Job:
    """End a job's attempt."""
    return store.end_attempt(lease, job, state=state, now=at)
