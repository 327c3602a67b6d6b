"""Which of Ray's GPU slots to take out of circulation on one node, and which to give back.

Pure. Ray cannot be asked for a certain slot: it gives the lowest free one. So a plan never says
"take slot 3" but "take so many that slot 3 must be among them if it is free"; `sort_out` then says
which of the slots that came are kept. Slots above the highest wanted one are left alone, so that
strangers lose no more than they must for the moment of the grab.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

WHOLE = 0.9999
"""Shares from here on are whole cards; Ray counts in steps of 0.0001."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A share of one of Ray's GPU slots; `slot` is Ray's id of it on its node, as a string."""

    slot: str
    share: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole card."""
        return self.share >= WHOLE


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSlots:
    """What is known of the slots of one node.

    Attributes:
        slots: Ray's ids in the order in which Ray gives them.
        closed: Slots nobody may have, each with the reason.
        shut: Why the whole node is closed, whatever the ids of its slots; empty: it is not.
        fences: The fence's placement groups by name. A name with the piece None holds a slot that
            is not known; it is of no use.
        reserved: What the reservations of jobs hold.
        free: How many whole slots Ray's own count leaves over; it may lag a little.
        taken: Slots lately found in use by somebody else's Ray task; not wanted until that ends.
    """

    slots: tuple[str, ...]
    closed: Mapping[str, str] = field(default_factory=dict)
    shut: str = ""
    fences: Mapping[str, Piece | None] = field(default_factory=dict)
    reserved: tuple[Piece, ...] = ()
    free: int = 0
    taken: frozenset[str] = frozenset()

    def why_closed(self, slot: str) -> str:
        """Return why nobody may have a slot; empty: it is open."""
        return self.shut or self.closed.get(slot, "")

    @property
    def unheld(self) -> tuple[str, ...]:
        """Slots of which neither fence nor reservation holds anything, in Ray's order."""
        held = {piece.slot for piece in (*self.fences.values(), *self.reserved) if piece}
        return tuple(slot for slot in self.slots if slot not in held)


@dataclass(frozen=True, kw_only=True, slots=True)
class FencePlan:
    """What to do on a node, in this order: grab, `sort_out` what came, remove.

    Attributes:
        grab: How many whole slots to take, all at once.
        remove: Fences to remove, each with the reason.
        reason: Why slots are grabbed; empty: none are.
    """

    grab: int = 0
    remove: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def plan_fence(node: NodeSlots) -> FencePlan:
    """Return what makes the fence of a node right again.

    A fence is right if it holds every closed slot that Ray does not use, no other, and none twice.
    """
    remove: dict[str, str] = {}
    kept: set[str] = set()
    for name, piece in sorted(node.fences.items()):
        why = _why_removed(piece, node, kept)
        if why:
            remove[name] = why
        elif piece is not None:
            kept.add(piece.slot)
    wanted = [s for s in node.unheld if node.why_closed(s) and s not in node.taken]
    grab = node.free if node.shut else grab_size(node, wanted)
    reasons = [node.shut] if node.shut else [f"{slot}: {node.closed[slot]}" for slot in wanted]
    reason = "; ".join(reasons) if grab else ""
    return FencePlan(grab=grab, remove=remove, reason=reason)


def _why_removed(piece: Piece | None, node: NodeSlots, kept: Collection[str]) -> str:
    if piece is None:
        return "it is not known which card it holds"
    if not piece.is_whole:
        return "left over from a reservation that was not finished"
    if not node.why_closed(piece.slot):
        return "the card is free again"
    return "the card is fenced already" if piece.slot in kept else ""


def grab_size(node: NodeSlots, wanted: Collection[str]) -> int:
    """Return how many slots to take at once so that each wanted one comes if it is free.

    Ray gives low slots first, so these are all unheld slots up to the highest wanted one, but never
    more than Ray has free: the rest would stay pending and take a slot whenever one is released.
    """
    unheld = node.unheld
    positions = [place for place, slot in enumerate(unheld) if slot in wanted]
    return min(max(positions) + 1, node.free) if positions else 0


def sort_out(node: NodeSlots, came: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Say what to do with slots that were just taken.

    Args:
        node: The node as it was planned for.
        came: Slot of each new placement group, by name.

    Returns:
        The groups to remove again, each with the reason; and the closed slots that did not come,
        because somebody else's Ray task is on them.
    """
    remove = {name: "on the way" for name, slot in came.items() if not node.why_closed(slot)}
    missing = frozenset(filter(node.why_closed, node.unheld)) - frozenset(came.values())
    return remove, missing


def next_slots(node: NodeSlots, count: int) -> tuple[str, ...]:
    """Return the whole slots Ray would give next, as far as is known."""
    return tuple(slot for slot in node.unheld if slot not in node.taken)[:count]
