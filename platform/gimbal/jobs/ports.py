"""What the controller and the API need from outside, as they need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from gimbal.jobs.model import (
    Attempt,
    Hold,
    Identity,
    Job,
    JobSpec,
    JobState,
    Quarantine,
    Role,
    StopWhy,
)
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import Gpu, GpuUuid, Grant, JobId


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """Return the time in UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPage:
    """Some jobs, newest first, and the cursor to the next page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to act as controller, until `expires_at`."""

    owner: str
    token: str
    expires_at: datetime


class JobStore(Protocol):
    """The truth about jobs.

    Every method is one transaction. Those that take a `Lease` raise `LeaseLost` and change nothing
    if it is not the current one. Those that take a `Job` compare its `version` and raise `Stale` if
    the stored one is newer. Terminal jobs never change: `IllegalTransition`.
    """

    def submit(
        self, spec: JobSpec, *, now: datetime, key: str | None = None, retry_of: JobId | None = None
    ) -> tuple[Job, bool]:
        """Accept a job; the same user and idempotency `key` again give the first job.

        Returns:
            The job, and whether it is new.

        Raises:
            GimbalError: The key was used for another spec (`code` 409 in the API).
        """
        ...

    def get(self, job_id: JobId) -> Job:
        """Return a job.

        Raises:
            JobNotFound: There is none of that id.
        """
        ...

    def page(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        states: Sequence[JobState] = (),
        user: str | None = None,
        since: datetime | None = None,
    ) -> JobPage:
        """Return jobs, newest first; an unusable cursor is a `GimbalError`."""
        ...

    def active(self) -> tuple[Job, ...]:
        """Return every job that is not terminal, oldest first."""
        ...

    def counts(self) -> Mapping[JobState, int]:
        """Return how many jobs are in each state."""
        ...

    def active_count(self, user: str) -> int:
        """Return how many jobs of a user are not terminal."""
        ...

    def request_cancel(self, job_id: JobId, *, now: datetime) -> Job:
        """Note that a user wants its end; a job without an attempt is STOPPED at once."""
        ...

    def take_lease(self, owner: str, *, now: datetime, seconds: float) -> Lease | None:
        """Take or renew the controller's lease; None: somebody else holds it."""
        ...

    def renew_lease(self, lease: Lease, *, now: datetime, seconds: float) -> Lease:
        """Prolong a lease that is still ours."""
        ...

    def drop_lease(self, lease: Lease) -> None:
        """Give the lease back at a clean end; nothing happens if it is not ours any more."""
        ...

    def lease_until(self) -> datetime | None:
        """Return when the current lease runs out; None: nobody has it."""
        ...

    def note_wait(self, lease: Lease, job: Job, *, reason: str, detail: str) -> Job:
        """Record why a pending job waits; writes nothing if it says so already."""
        ...

    def intend(
        self,
        lease: Lease,
        job: Job,
        *,
        grants: Sequence[Grant],
        gpus: Sequence[Mapping[str, Any]],
        now: datetime,
    ) -> Job:
        """Add an attempt in phase INTENDED and make the job RUNNING.

        Raises:
            Stale: Also when a card is whole in another attempt that has not ended, or its shares
                would exceed 1: the store itself never gives a card away twice.
        """
        ...

    def launching(self, lease: Lease, job: Job) -> Job:
        """Move the current attempt to LAUNCHING."""
        ...

    def launched(self, lease: Lease, job: Job, *, now: datetime) -> Job:
        """Move the current attempt to RUNNING."""
        ...

    def note_run(
        self,
        lease: Lease,
        job: Job,
        *,
        used: Sequence[GpuUuid] | None = None,
        run_dir: str | None = None,
        peak_bytes: int | None = None,
    ) -> Job:
        """Record what the running attempt reported."""
        ...

    def ask_to_stop(
        self, lease: Lease, job: Job, *, why: StopWhy, now: datetime, deadline: datetime
    ) -> Job:
        """Record that the current attempt is asked to leave; an earlier request stays."""
        ...

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
        """End the current attempt and move the job to `state` (PENDING: queued again)."""
        ...

    def fail_pending(
        self, lease: Lease, job: Job, *, reason: str, detail: str, now: datetime
    ) -> Job:
        """End a pending job that can never run."""
        ...

    def peak(self, peak_key: str) -> int:
        """Return the largest measured peak of jobs with this key; 0: none was measured."""
        ...

    def usage_gpu_s(self, *, now: datetime, half_life_s: float) -> Mapping[str, float]:
        """Return each user's GPU-seconds, halved for every half-life that has passed since."""
        ...

    def hold(self, hold: Hold) -> Hold:
        """Store a hold (its `id` is given here); a card that is held already is a `GimbalError`."""
        ...

    def holds(self, *, now: datetime) -> tuple[Hold, ...]:
        """Return the holds that have not run out."""
        ...

    def release(self, node: str, index: int, *, now: datetime) -> Hold | None:
        """End a hold; None: there was none."""
        ...

    def quarantine(self, lease: Lease, card: Quarantine) -> bool:
        """Keep everybody off a card until a person releases it, and note that in the audit log.

        Returns:
            Whether it is new; a quarantine that there is already stays as it is.
        """
        ...

    def quarantines(self) -> tuple[Quarantine, ...]:
        """Return the cards nobody should use, oldest first."""
        ...

    def end_quarantine(self, uuid: GpuUuid) -> Quarantine | None:
        """Let a card be used again; None: it was not quarantined."""
        ...

    def add_token(
        self, digest: str, identity: Identity, *, now: datetime, expires_at: datetime | None
    ) -> int:
        """Store a hashed token and return its id."""
        ...

    def identity_of(self, digest: str, *, now: datetime) -> Identity | None:
        """Return whose token it is; None: unknown, expired or revoked."""
        ...

    def tokens(self) -> tuple[tuple[int, Identity, datetime, datetime | None], ...]:
        """Return id, identity, creation and expiry of every token that is not revoked."""
        ...

    def revoke_token(self, token_id: int, *, now: datetime) -> bool:
        """Revoke a token; False: there is none of that id."""
        ...

    def audit(self, *, user: str, action: str, target: str, now: datetime) -> None:
        """Remember who did what."""
        ...

    def audit_log(self, *, limit: int = 100) -> tuple[Mapping[str, Any], ...]:
        """Return the newest entries."""
        ...

    def ping(self) -> None:
        """Raise if the database does not answer."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class LaunchStatus(StrEnum):
    """What Ray says of an attempt it knows."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self in (LaunchStatus.SUCCEEDED, LaunchStatus.FAILED, LaunchStatus.STOPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchReport:
    """What Ray says, in full."""

    status: LaunchStatus
    exit_code: int | None = None
    message: str = ""


class LaunchUnavailable(Exception):
    """Ray does not answer now; ask again later, conclude nothing."""


class Launcher(Protocol):
    """Hands attempts to Ray."""

    def launch(self, job: Job, attempt: Attempt) -> None:
        """Start an attempt; one that was started already is left alone.

        Raises:
            LaunchUnavailable: Ray does not answer; it may or may not have been started.
        """
        ...

    def reports(self) -> Mapping[str, LaunchReport]:
        """Return how every attempt of Gimbal's stands that Ray knows, by submission id.

        One question for all of them: the controller asks once a tick. An id that is missing was
        never launched, or Ray lost its memory.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        ...

    def stop(self, submission_id: str) -> None:
        """Ask Ray to end an attempt: SIGTERM, then SIGKILL; unknown or ended ones are ignored.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        ...

    def forget(self, submission_id: str) -> None:
        """Drop an ended attempt from Ray's list, which has no pages; unknown ones are ignored.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        ...


class ReserveFailed(Exception):
    """The cards could not be had just now: somebody was faster. Nothing is held."""


class GpuWarden(Protocol):
    """The cluster's GPUs: what is on them, and who may have them in Ray's accounting."""

    def snapshot(self) -> tuple[Gpu, ...]:
        """Return every card.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        ...

    def reserve(self, submission_id: str, grants: Sequence[Grant]) -> tuple[tuple[str, int], ...]:
        """Take exactly these cards in Ray's accounting, under the attempt's name.

        Looks at the cards once more first. Reserving again under the same name gives the same.

        Returns:
            For each bundle of the reservation its card's UUID and index, in the order of bundles.

        Raises:
            ReserveFailed: A card is not free any more.
            LaunchUnavailable: Ray does not answer.
        """
        ...

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards; unknown names are ignored."""
        ...

    def reservations(self) -> tuple[str, ...]:
        """Return the submission ids that hold cards."""
        ...

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Replace the holds of people."""
        ...

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use until a person releases them, and why."""
        ...


__all__ = [
    "Clock",
    "GpuWarden",
    "JobPage",
    "JobStore",
    "LaunchReport",
    "LaunchStatus",
    "LaunchUnavailable",
    "Launcher",
    "Lease",
    "ReserveFailed",
    "Role",
]
