"""A job, its attempts and the only ways in which they may change.

External states are Ray's five. A terminal state is final; running a job again makes a new one.
Records are frozen; the store is the only truth and changes them by guarded updates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gimbal.errors import GimbalError
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import GpuUuid, Grant, JobId


class JobState(StrEnum):
    """How a job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again."""
        return self in (JobState.STOPPED, JobState.SUCCEEDED, JobState.FAILED)


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset({JobState.RUNNING, JobState.STOPPED, JobState.FAILED}),
    JobState.RUNNING: frozenset(
        {JobState.PENDING, JobState.STOPPED, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.STOPPED: frozenset(),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
}


class IllegalTransition(GimbalError):
    """A job cannot change in that way."""


def require_transition(before: JobState, after: JobState) -> None:
    """Refuse a change that the table does not list.

    Raises:
        IllegalTransition: Naming both states.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(
            f"a job that is {before} cannot become {after}",
            "submit it again: `gimbal jobs retry JOB`" if before.is_terminal else "",
        )


class AttemptPhase(StrEnum):
    """How far an attempt is; each is written *before* what it names is done."""

    INTENDED = "intended"
    """Cards are granted in the store; nothing was done yet."""
    LAUNCHING = "launching"
    """The cards are reserved in Ray; the job may or may not have been handed over."""
    RUNNING = "running"
    """Ray has it."""
    ENDED = "ended"


class StopWhy(StrEnum):
    """Why an attempt was asked to leave."""

    CANCEL = "cancel"
    PREEMPT = "preempt"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """What a user asked for; never changes.

    Attributes:
        workload: A registered workload.
        experiment: Name of the experiment.
        config: The complete, validated config as plain data.
        user: Who submitted it.
        gpus: Cards, one a worker; 0: none.
        share: Share of a card; below 1 only with one GPU and stated memory.
        memory_bytes: Memory stated for each card; None: not stated.
        priority: Larger goes first.
        peak_key: Jobs with the same key use the same memory: what one was measured to need, the
            next is admitted with.
    """

    workload: str
    experiment: str
    config: dict[str, Any]
    user: str
    gpus: int = 0
    share: float = 1.0
    memory_bytes: int | None = None
    priority: int = 0
    peak_key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try at a job.

    Attributes:
        number: From 1.
        phase: How far it is.
        submission_id: Its name in Ray, a function of job and number: launching twice is once.
        grants: Cards chosen for it.
        granted_at: When they were chosen.
        launched_at: When Ray accepted it.
        ended_at: When it was found ended.
        used: Cards its workers reported; equal to the chosen ones.
        stop_why: Why it was asked to leave; None: it was not.
        stop_at: When it was asked to.
        stop_deadline: When it is stopped if it has not left.
        failure: Class of its failure; None: it has not failed.
        reason: One sentence on how it ended, or what it waits for.
        exit_code: Exit status of its driver.
        gpus_at_launch: Snapshot of the chosen cards when they were granted.
        gpus_at_end: Snapshot of them when it ended.
        peak_bytes: The most memory a worker held on a card; 0: not measured.
        run_dir: Its run folder.
    """

    number: int
    phase: AttemptPhase
    submission_id: str
    grants: tuple[Grant, ...] = ()
    granted_at: datetime
    launched_at: datetime | None = None
    ended_at: datetime | None = None
    used: tuple[GpuUuid, ...] = ()
    stop_why: StopWhy | None = None
    stop_at: datetime | None = None
    stop_deadline: datetime | None = None
    failure: FailureClass | None = None
    reason: str = ""
    exit_code: int | None = None
    gpus_at_launch: tuple[dict[str, Any], ...] = ()
    gpus_at_end: tuple[dict[str, Any], ...] = ()
    peak_bytes: int = 0
    run_dir: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as the store has it; times are UTC.

    Attributes:
        id: Its id.
        spec: What was asked for.
        state: How it stands.
        reason: Code of why it stands so: a wait reason, a failure class, or empty.
        detail: The same in one sentence.
        cancel_requested: A user asked for its end.
        submitted_at: When it was accepted.
        started_at: When its first attempt was launched.
        ended_at: When it became terminal.
        not_before: It may not start earlier (backoff); None: at once.
        avoid: Cards it should avoid, and until when.
        retry_of: The job this one repeats.
        attempts: Its attempts, oldest first.
        version: Counts changes; a guarded update names the version it read.
    """

    id: JobId
    spec: JobSpec
    state: JobState
    reason: str = ""
    detail: str = ""
    cancel_requested: bool = False
    submitted_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    not_before: datetime | None = None
    avoid: dict[GpuUuid, datetime] = field(default_factory=dict)
    retry_of: JobId | None = None
    attempts: tuple[Attempt, ...] = ()
    version: int = 0

    @property
    def current(self) -> Attempt | None:
        """The attempt that has not ended."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.phase is not AttemptPhase.ENDED else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A card a person claimed.

    Attributes:
        id: Its id.
        node: The node.
        index: The card's number there.
        uuid: The card, where it was known.
        user: Who claimed it.
        reason: What for.
        since: From when.
        until: To when.
    """

    id: int
    node: str
    index: int
    uuid: GpuUuid | None
    user: str
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantine:
    """A card that was found broken and that nobody should use until a person looked.

    Attributes:
        uuid: The card.
        node: The node it was in.
        index: Its number there then, which a restart may change.
        reason: What was wrong.
        since: From when.
    """

    uuid: GpuUuid
    node: str
    index: int
    reason: str
    since: datetime


class Role(StrEnum):
    """What a token allows."""

    VIEWER = "viewer"
    """Look."""
    USER = "user"
    """Submit, and change one's own jobs."""
    OPERATOR = "operator"
    """Change everybody's jobs, hold cards, release broken ones."""

    def includes(self, other: Role) -> bool:
        """Return whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who asks."""

    user: str
    role: Role


class JobNotFound(GimbalError):
    """There is no such job."""


class Stale(GimbalError):
    """Somebody changed the record since it was read; read it again."""


class LeaseLost(GimbalError):
    """Another controller took over; this one must stop acting."""
