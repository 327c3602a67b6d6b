"""What is known of a failed attempt, and what kind of failure it was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gimbal.scheduling.model import GpuUuid


class FailureClass(StrEnum):
    """Whose fault a failed attempt was; each has a retry budget of its own."""

    CONTENTION = "OOM_CONTENTION"
    """A neighbour held the memory. Never counts."""
    OOM_INTRINSIC = "OOM_INTRINSIC"
    """The job needs more than the card has, or more than it stated."""
    OOM_HOST = "OOM_HOST"
    """The host ran out of memory and killed a process."""
    HARDWARE = "HARDWARE"
    """The card reported an error that more tries on it will not mend."""
    INFRA = "INFRA"
    """A node, an actor, Ray's head or the service went away. Never counts."""
    COMMUNICATION = "COMMUNICATION"
    """Workers lost each other and none of them says why."""
    NATIVE_CRASH = "NATIVE_CRASH"
    """A crash below Python, or a CUDA error without a known cause; once more, on another card."""
    PREEMPTED = "PREEMPTED"
    """It was asked to make room and did. Never counts."""
    USER_CODE = "USER_CODE"
    """Config, code, a guard or a gate: more tries would end alike."""
    UNKNOWN = "UNKNOWN"
    """Nothing that is known: stop, loudly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One error somebody reported.

    Attributes:
        text: Its text.
        error_type: Qualified class name; empty for a line of a log.
        error_code: Code of a `torch.AcceleratorError`.
        rank: The worker; None: the driver.
        at: Unix seconds.
    """

    text: str
    error_type: str = ""
    error_code: int | None = None
    rank: int | None = None
    at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuAtFailure:
    """One card of the attempt when it failed.

    Attributes:
        uuid: The card.
        label: `NODE:INDEX`, as people name it; empty: not known.
        total_bytes: Its memory.
        foreign_bytes: Memory that was not ours, the most of the last samples.
        own_bytes: Memory of this job on it.
        sibling_bytes: Memory of other jobs of ours on it.
        fault: A hardware error; empty: none.
        rank: The worker that was given it; None: unknown.
    """

    uuid: GpuUuid
    label: str = ""
    total_bytes: int
    foreign_bytes: int = 0
    own_bytes: int = 0
    sibling_bytes: int = 0
    fault: str = ""
    rank: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureCase:
    """All that is known of a failed attempt.

    Attributes:
        evidence: What ranks and driver reported.
        exit_code: The driver's exit status, negative for a signal; None: unknown.
        ray_status: Ray's word for the job (`FAILED`, `STOPPED`, …); None: Ray does not know it.
        gpus: The cards at that time.
        need_bytes: What the job was measured, else stated, to need on a card; None: unknown.
        stop_why: `preempt` or `cancel` if the service had asked it to leave; else empty.
    """

    evidence: tuple[Evidence, ...] = ()
    exit_code: int | None = None
    ray_status: str | None = None
    gpus: tuple[GpuAtFailure, ...] = ()
    need_bytes: int | None = None
    stop_why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What a failure was.

    Attributes:
        failure: Its class.
        reason: One sentence for the job's user.
        rank: The worker where it began; None: the driver or unknown.
        blamed: Cards this job should avoid for a while.
        quarantine: Cards nobody should use until a person looked.
    """

    failure: FailureClass
    reason: str
    rank: int | None = None
    blamed: frozenset[GpuUuid] = frozenset()
    quarantine: frozenset[GpuUuid] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Queue the job again, not before `at`."""

    at: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """End the job as failed."""

    reason: str


RetryDecision = Retry | GiveUp
