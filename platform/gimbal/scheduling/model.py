"""The words of scheduling: GPUs as a policy sees them, what jobs ask for, what is decided.

Frozen values of the standard library only. Times are Unix seconds (`now` is always an argument),
memory is in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType

GpuUuid = NewType("GpuUuid", str)
"""NVML's name of a card, such as `GPU-76098dc1-…`: the only name that is never ambiguous."""
NodeName = NewType("NodeName", str)
"""A node as people and `gimbal gpus hold NODE:GPU` name it: its host name, else Ray's node id."""
JobId = NewType("JobId", str)


class Condition(StrEnum):
    """What a GPU is to us right now."""

    FREE = "free"
    OURS = "ours"
    """Only processes of this Ray cluster hold memory on it."""
    FOREIGN = "foreign"
    """Somebody else's process, or memory nobody owns up to, is on it."""
    COOLING = "cooling"
    """Clean, but not for long enough to be trusted."""
    HELD = "held"
    """A person claimed it with `gimbal gpus hold`."""
    FAULTY = "faulty"
    """It reported a hardware error, or fell off the bus."""
    UNKNOWN = "unknown"
    """Nothing trustworthy is known: no sample, no agent, a driver that does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One card in a snapshot.

    Attributes:
        uuid: Its NVML UUID.
        node: The node it is in.
        index: Its number on that node, in PCI bus order.
        name: Its product name.
        total_bytes: Its memory, without what the driver keeps for itself.
        condition: What it is to us.
        foreign_bytes: The most memory that was not ours within the window of the occupancy.
        own_bytes: Memory of this cluster's processes, by the last sample.
        note: Who or what is on it, for people: `uid 1004 (python) holds 14.1 GiB`.
        cooling_s: Seconds until it counts as free, if nothing else happens; 0 when not cooling.
    """

    uuid: GpuUuid
    node: NodeName
    index: int
    name: str
    total_bytes: int
    condition: Condition
    foreign_bytes: int = 0
    own_bytes: int = 0
    note: str = ""
    cooling_s: float = 0.0

    @property
    def label(self) -> str:
        """`NODE:INDEX`, as the command line names a card."""
        return f"{self.node}:{self.index}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A card, or a share of one, given to one worker of a job.

    Attributes:
        uuid: The card.
        node: Its node.
        share: 1 for the whole card; less where a single worker shares it.
        memory_bytes: Budget of the worker on this card; None: not stated, the whole card.
    """

    uuid: GpuUuid
    node: NodeName
    share: float = 1.0
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a waiting job asks for.

    Attributes:
        job_id: The job.
        user: Who submitted it.
        priority: Larger goes first.
        submitted_at: When it entered the queue for the first time; a requeued job keeps it.
        gpus: Workers, one card each; 0: no GPU at all.
        share: Share of a card; below 1 only with `gpus == 1` and `memory_bytes`.
        memory_bytes: Memory needed on each card: the larger of what was stated and what an earlier
            attempt was measured to use; None: nothing is known, a whole clean card is wanted.
        not_before: A backoff: do not start earlier.
        avoid: Cards that failed this job lately.
    """

    job_id: JobId
    user: str
    priority: int = 0
    submitted_at: float
    gpus: int
    share: float = 1.0
    memory_bytes: int | None = None
    not_before: float = 0.0
    avoid: frozenset[GpuUuid] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A job that holds cards, from the moment they were granted.

    Attributes:
        job_id: The job.
        user: Who submitted it.
        priority: Its priority.
        started_at: When this attempt was granted its cards.
        grants: The cards.
        stopping: It was asked to leave already.
    """

    job_id: JobId
    user: str
    priority: int
    started_at: float
    grants: tuple[Grant, ...]
    stopping: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything a policy may look at.

    Attributes:
        gpus: Every card of the cluster.
        running: Jobs that hold cards, and jobs without GPUs that run.
        queue: Jobs that wait, in any order.
        usage_gpu_s: Decayed GPU-seconds each user has had lately, for fair share.
    """

    gpus: tuple[Gpu, ...]
    running: tuple[Running, ...] = ()
    queue: tuple[Request, ...] = ()
    usage_gpu_s: Mapping[str, float] = field(default_factory=dict)


class WaitReason(StrEnum):
    """Why a job waits."""

    GPU_FOREIGN = "WAITING_GPU_FOREIGN"
    GPU_OWN = "WAITING_GPU_OWN"
    GPU_COOLING = "COOLING"
    GPU_HELD = "WAITING_GPU_HELD"
    GPU_UNUSABLE = "WAITING_GPU_UNUSABLE"
    """The cards it could use are faulty or unknown."""
    MEMORY = "WAITING_MEMORY"
    QUOTA = "WAITING_QUOTA"
    SLOT = "WAITING_SLOT"
    """As many jobs without GPUs run as may at once."""
    BEHIND = "WAITING_BEHIND"
    """A card is kept for a job that is ahead and has waited long."""
    BACKOFF = "BACKOFF"
    NEVER_FITS = "NEVER_FITS"
    """No card of this cluster could ever satisfy it, even when all are free."""
    PREEMPTING = "WAITING_PREEMPTION"
    """Others were asked to make room for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Start the job on these cards; `grants` is empty for a job without GPUs."""

    job_id: JobId
    grants: tuple[Grant, ...]
    reason: str


class Wait(NamedTuple):
    """Leave the job in the queue; `detail` is one sentence for its user.

    A tuple because a decision holds ten thousand of them, and a frozen dataclass takes four times
    as long to make.
    """

    job_id: JobId
    reason: WaitReason
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preempt:
    """Ask a running job to checkpoint and leave, for another one."""

    job_id: JobId
    for_job: JobId
    reason: str


Decision = Place | Wait | Preempt
