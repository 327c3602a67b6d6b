"""What the warden knows of Ray's slots: who holds which, by name of the placement group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from gimbal.gpus.fence_plan import NodeSlots, Piece
from gimbal.gpus.slots import JOB_PREFIX

_CHANGE = 0.0005
"""Shares that differ by less are the same."""
_LAG_S = 0.4
"""Ray's count may be that old."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """One bundle of a reservation: a share of a slot, and the card behind it.

    Attributes:
        node_id: Ray's id of the node.
        slot: Ray's id of the card there; empty: not known.
        share: Share of it.
        uuid: The card.
        index: Its number on the node.
    """

    node_id: str
    slot: str
    share: float = 1.0
    uuid: str = ""
    index: int = -1

    @property
    def place(self) -> tuple[str, str, float]:
        """Node, slot and share: what Ray knows of it."""
        return self.node_id, self.slot, round(self.share, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """The cards of one attempt, in the order of the bundles of its placement group."""

    submission_id: str
    bundles: tuple[Bundle, ...]

    @property
    def group(self) -> str:
        """Name of its placement group."""
        return JOB_PREFIX + self.submission_id

    @property
    def unfinished(self) -> bool:
        """Whether its maker died before it had looked which cards came; nobody works in it."""
        return all(bundle.slot and not bundle.uuid for bundle in self.bundles)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps([asdict(bundle) for bundle in self.bundles])

    @classmethod
    def from_json(cls, submission_id: str, text: str) -> Reservation:
        """Read what `to_json` wrote."""
        bundles = tuple(Bundle(**fields) for fields in json.loads(text))
        return cls(submission_id=submission_id, bundles=bundles)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeCards:
    """What is to be fenced on a node.

    Attributes:
        node_id: Ray's id of it.
        gpus: How many GPUs Ray counts there.
        slots: Ray's ids of them in Ray's order; fewer than `gpus` where they are not known.
        closed: Those nobody may have, each with the reason.
        shut: Why the whole node is closed; empty: it is not.
    """

    node_id: str
    gpus: int
    slots: tuple[str, ...] = ()
    closed: Mapping[str, str] = field(default_factory=dict)
    shut: str = ""


class SlotBook:
    """Fences, reservations, and slots that others were found on.

    Attributes:
        fences: Node and piece of each fence; the piece is None where it is not known.
        reservations: Reservations by submission id.
    """

    def __init__(self, taken_s: float) -> None:
        self.fences: dict[str, tuple[str, Piece | None]] = {}
        self.reservations: dict[str, Reservation] = {}
        self._taken_s = taken_s
        self._taken: dict[tuple[str, str], float] = {}
        self._others: dict[str, float] = {}
        self._moved_at = -_LAG_S

    def view(self, node: NodeCards, available: float, now: float) -> NodeSlots:
        """Return a node as the planner wants it.

        Args:
            node: What is to be fenced there.
            available: GPUs left by Ray's count.
            now: Monotonic seconds.
        """
        reserved = tuple(
            Piece(slot=bundle.slot, share=bundle.share)
            for bundle in self.bundles()
            if bundle.node_id == node.node_id and bundle.slot
        )
        return NodeSlots(
            slots=node.slots,
            closed=node.closed,
            shut=node.shut,
            fences={name: p for name, (at, p) in self.fences.items() if at == node.node_id},
            reserved=reserved,
            free=int(available + _CHANGE),
            taken=self.taken(node.node_id, now),
        )

    def bundles(self) -> Iterable[Bundle]:
        """Return every bundle of every reservation."""
        return (b for reservation in self.reservations.values() for b in reservation.bundles)

    def share_of(self, node_id: str, slot: str) -> float:
        """Return how much of a slot reservations hold."""
        return sum(b.share for b in self.bundles() if (b.node_id, b.slot) == (node_id, slot))

    def taken(self, node_id: str, now: float) -> frozenset[str]:
        """Return the slots of a node that others are believed to use."""
        return frozenset(
            slot
            for (node, slot), since in list(self._taken.items())  # other threads may write
            if node == node_id and 0 <= now - since < self._taken_s
        )

    def note_taken(self, node_id: str, slots: Iterable[str], now: float) -> None:
        """Remember that others were found on these slots."""
        self._taken.update({(node_id, slot): now for slot in slots})
        self._others.pop(node_id, None)

    def note_came(self, node_id: str, slots: Iterable[str]) -> None:
        """Remember that these slots were to be had."""
        for slot in slots:
            self._taken.pop((node_id, slot), None)

    def note_moved(self, now: float) -> None:
        """Remember that groups of ours came or went just now: Ray's count lags behind that."""
        self._moved_at = now

    def note_available(self, node: NodeCards, available: float, now: float) -> None:
        """Forget who was found where, once others use fewer GPUs of the node than then.

        Args:
            node: The node.
            available: GPUs left by Ray's count.
            now: Monotonic seconds.
        """
        if 0 <= now - self._moved_at < _LAG_S:
            return
        node_id = node.node_id
        ours = sum(b.share for b in self.bundles() if b.node_id == node_id)
        ours += sum(p.share for at, p in self.fences.values() if at == node_id and p is not None)
        others = node.gpus - available - ours
        if others < max(_CHANGE, self._others.setdefault(node_id, others) - _CHANGE):
            self._forget_taken(node_id)

    def _forget_taken(self, node_id: str) -> None:
        self._taken = {key: at for key, at in self._taken.items() if key[0] != node_id}
        self._others.pop(node_id, None)

    def forget_node(self, node_id: str) -> list[str]:
        """Forget a node that is gone; return the names of its fences, which are of no use."""
        self._forget_taken(node_id)
        names = [name for name, (at, _) in self.fences.items() if at == node_id]
        for name in names:
            del self.fences[name]
        return names
