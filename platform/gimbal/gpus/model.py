"""What a probe saw: one sample of a node's GPUs, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gimbal.scheduling.model import GpuUuid, NodeName


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessUse:
    """A process on a card, as the driver lists it.

    Attributes:
        pid: Its id, in whatever namespace the driver answers in.
        used_bytes: Its memory; None where the driver does not say (containers, WDDM, MIG).
        name: Its executable's name, never its arguments; empty if unknown.
        user: Its owner's name or `uid N`; empty if unknown.
        began: When it was created, Unix seconds; None if unknown (it may be gone by now).
    """

    pid: int
    used_bytes: int | None
    name: str = ""
    user: str = ""
    began: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSample:
    """One card at one moment.

    Attributes:
        uuid: Its UUID.
        index: Its number in PCI bus order.
        name: Its product name.
        total_bytes: All its memory; None where the driver does not say.
        used_bytes: Memory in use by anybody, without `reserved_bytes`; None: unknown.
        reserved_bytes: What the driver keeps for itself.
        processes: Who is on it; None: the list could not be had or made no sense.
        fault: A hardware error that forbids using the card; empty: none.
        problem: Why this sample cannot be trusted; empty: it can.
    """

    uuid: GpuUuid
    index: int
    name: str
    total_bytes: int | None
    used_bytes: int | None
    reserved_bytes: int = 0
    processes: tuple[ProcessUse, ...] | None = ()
    fault: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSample:
    """All cards of a node at one moment.

    Attributes:
        at: Unix seconds.
        gpus: The cards; empty where there are none, or none could be asked.
        problem: Why the driver could not be asked at all; empty: it could.
    """

    at: float
    gpus: tuple[GpuSample, ...] = ()
    problem: str = ""


class Owner(StrEnum):
    """Whose memory it is."""

    OWN_LIVE = "own-live"
    """A process of this Ray cluster, or a descendant of one."""
    OWN_LEAKED = "own-leaked"
    """Started by one of our jobs that has ended since."""
    FOREIGN_USER = "foreign-user"
    FOREIGN_SYSTEM = "foreign-system"
    """A display server or the like, with little memory."""
    UNATTRIBUTED = "unattributed"
    """In use by the card's own count, but by no process that is listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """Memory on a card and its owner.

    Attributes:
        owner: The class of owner.
        used_bytes: How much.
        pid: The process; 0 for unattributed memory.
        began: Creation time of the process, with `pid` its identity; None if unknown.
        name: Executable's name.
        user: Owner's name or `uid N`.
    """

    owner: Owner
    used_bytes: int
    pid: int = 0
    began: float | None = None
    name: str = ""
    user: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributedGpu:
    """A card with its memory attributed."""

    sample: GpuSample
    uses: tuple[Use, ...] = ()

    def held_by(self, *owners: Owner) -> int:
        """Return the bytes that these classes of owners hold."""
        return sum(use.used_bytes for use in self.uses if use.owner in owners)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeReport:
    """What a node's agent says.

    Attributes:
        node: The node.
        node_id: Ray's id of it, in hexadecimal.
        at: Unix seconds of the sample.
        gpus: Its cards.
        problem: Why nothing can be said; empty: all is well.
        ray_ids: Ray's GPU id on this node (`"0"`, or a UUID) of each card Ray counts.
    """

    node: NodeName
    node_id: str
    at: float
    gpus: tuple[AttributedGpu, ...] = ()
    problem: str = ""
    ray_ids: tuple[tuple[str, GpuUuid], ...] = ()
