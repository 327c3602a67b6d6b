"""A card as one decision sees it: how it stands, what it can take, who is on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gimbal.scheduling.model import Condition, Gpu, GpuUuid, NodeName, Running
from gimbal.scheduling.settings import PolicySettings


class Standing(StrEnum):
    """What keeps a card from being granted whole, from the view of a waiting job."""

    FREE = "free"
    KEPT = "kept"
    """For a job that is ahead."""
    LEAVING = "leaving"
    """Every job on it was asked to leave."""
    RUNNING = "running"
    """Jobs of the service run on it."""
    COOLING = "cooling"
    FOREIGN = "foreign"
    OTHER_OWN = "other own"
    """Processes of this Ray cluster are on it, which the service did not start."""
    HELD = "held"
    UNUSABLE = "unusable"


STANDING_OF = {
    Condition.FREE: Standing.FREE,
    Condition.OURS: Standing.OTHER_OWN,
    Condition.FOREIGN: Standing.FOREIGN,
    Condition.COOLING: Standing.COOLING,
    Condition.HELD: Standing.HELD,
    Condition.FAULTY: Standing.UNUSABLE,
    Condition.UNKNOWN: Standing.UNUSABLE,
}

Slot = tuple[int, NodeName, GpuUuid]
"""A card in a sorted list: what it can take, then its name, which breaks ties."""


@dataclass(slots=True)
class Card:
    """A card and what is known of it during one decision.

    Attributes:
        gpu: The card.
        standing: What keeps it from being granted.
        capacity_bytes: The largest need a whole grant may have once the card is empty.
        holders: Jobs of the service on it.
        units: Share that is granted, in units; `UNITS` when one job has it whole.
        committed_bytes: Memory that is granted.
        room_bytes: The largest need another share may have now.
        open: Whether more shares of it may be granted.
        closed: Whether the rest of it is spoken for, so that it was closed to more shares.
        granted_now: Whether this very decision granted something on it.
    """

    gpu: Gpu
    standing: Standing
    capacity_bytes: int
    holders: list[Running] = field(default_factory=list)
    units: int = 0
    committed_bytes: int = 0
    room_bytes: int = 0
    open: bool = False
    closed: bool = False
    granted_now: bool = False

    @property
    def slot(self) -> Slot:
        """Its place in a list of whole cards."""
        return (self.capacity_bytes, self.gpu.node, self.gpu.uuid)

    @property
    def share_slot(self) -> Slot:
        """Its place in the list of shared cards."""
        return (self.room_bytes, self.gpu.node, self.gpu.uuid)


def capacity_bytes(gpu: Gpu, settings: PolicySettings) -> int:
    """Return the largest need a card can take whole.

    A card with no more than a trifle of foreign memory has no neighbour that could grow, so no
    margin is asked of it: else a job that was measured to fill its card once could never run again.
    """
    left = gpu.total_bytes - gpu.foreign_bytes
    return max(0, left - (settings.safety_bytes if takes_margin(gpu, settings) else 0))


def takes_margin(gpu: Gpu, settings: PolicySettings) -> bool:
    """Return whether a whole grant leaves a margin to others on the card."""
    return gpu.foreign_bytes >= max(1, settings.trifle_bytes)


def shared_capacity_bytes(gpu: Gpu, settings: PolicySettings) -> int:
    """Return the largest need a share of a card may have when nobody of ours is on it."""
    return gpu.total_bytes - gpu.foreign_bytes - settings.safety_bytes
