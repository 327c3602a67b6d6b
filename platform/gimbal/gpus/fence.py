"""Keeps Ray's accounting true: closed cards are taken out of it, chosen ones are given to jobs.

One object, called under one lock, does everything that touches placement groups, so that a grab of
the fence and a reservation never meet. Its knowledge is rebuilt from Ray's own list of groups:
killing it at any line leaves nothing behind that the next one does not find and put right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from gimbal.gpus.fence_plan import Piece, plan_fence, sort_out
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.reserving import Reserver
from gimbal.gpus.slot_book import Bundle, NodeCards, Reservation, SlotBook
from gimbal.gpus.slots import FENCE_PREFIX, JOB_PREFIX, CardsTaken, Group, Memory, Slots

log = logging.getLogger(__name__)


class Fence:
    """The fence and the reservations of one Ray cluster.

    Args:
        slots: Ray's slots.
        memory: Where reservations are written down.
        settings: How patient to be.
        clock: Returns seconds that never go back.

    Attributes:
        book: What is known of the slots.
    """

    def __init__(
        self,
        slots: Slots,
        memory: Memory,
        settings: FenceSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._memory = memory
        self._settings = settings
        self._clock = clock
        self.book = SlotBook(settings.taken_s)
        self._listed_at: float | None = None

    def apply(self, nodes: Sequence[NodeCards]) -> None:
        """Make the fence right on these nodes, and forget the nodes that are not among them."""
        self.recover()
        gone = {node_id for node_id, _ in self.book.fences.values()} - {n.node_id for n in nodes}
        for node_id in gone:
            self._slots.remove(self.book.forget_node(node_id))
        available = self._slots.available()
        for node in nodes:
            self._apply(node, available.get(node.node_id, 0.0))

    def _apply(self, node: NodeCards, available: float) -> None:
        now = self._clock()
        self.book.note_available(node, available, now)
        view = self.book.view(node, available, now)
        plan = plan_fence(view)
        came = self._slots.take(node.node_id, 1.0, plan.grab) if plan.grab else {}
        unneeded, missing = sort_out(view, came)
        for name, slot in came.items():
            self.book.fences[name] = (node.node_id, Piece(slot=slot))
        self.book.note_came(node.node_id, came.values())
        if plan.grab:
            self.book.note_taken(node.node_id, missing, now)
            self.book.note_moved(self._clock())
        self._drop([*unneeded, *plan.remove])
        kept = sorted(slot for name, slot in came.items() if name not in unneeded)
        if kept or plan.remove:
            log.info(
                "fence on %s: took %s (%s), gave back %s",
                node.node_id[:12],
                kept,
                plan.reason,
                dict(plan.remove),
            )

    def _drop(self, names: Sequence[str]) -> None:
        if names:
            self._slots.remove(names)
            self.book.note_moved(self._clock())
        for name in names:
            self.book.fences.pop(name, None)

    def reserve(
        self, submission_id: str, wanted: Sequence[Bundle], nodes: Sequence[NodeCards]
    ) -> Reservation:
        """Take exactly these pieces for an attempt.

        Args:
            submission_id: The attempt; asking again for the same gives the same.
            wanted: The pieces.
            nodes: What is known of their nodes.

        Raises:
            CardsTaken: Somebody else is on a card. Nothing is held.
        """
        earlier = self.book.reservations.get(submission_id)
        if earlier is not None and {b.place for b in earlier.bundles} == {b.place for b in wanted}:
            return self._again(earlier, wanted)
        if earlier is not None:
            if not earlier.unfinished:
                raise CardsTaken(f"{submission_id} holds other cards already; free it first")
            self.free(submission_id)
        by_id = {node.node_id: node for node in nodes}
        reserver = Reserver(self._slots, self.book, self._settings, by_id, self._clock)
        try:
            bundles = reserver.make(JOB_PREFIX + submission_id, wanted)
        finally:
            self.book.note_moved(self._clock())
        return self._keep(Reservation(submission_id=submission_id, bundles=bundles))

    def _again(self, earlier: Reservation, wanted: Sequence[Bundle]) -> Reservation:
        chosen = {bundle.place: bundle for bundle in wanted}
        bundles = tuple(chosen[bundle.place] for bundle in earlier.bundles)
        return self._keep(Reservation(submission_id=earlier.submission_id, bundles=bundles))

    def _keep(self, reservation: Reservation) -> Reservation:
        self._memory.put(reservation.group, reservation.to_json())
        self.book.reservations[reservation.submission_id] = reservation
        return reservation

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards."""
        group = JOB_PREFIX + submission_id
        self._slots.remove([group])
        self._memory.delete(group)
        self.book.reservations.pop(submission_id, None)
        self.book.note_moved(self._clock())

    def recover(self, *, now: bool = False) -> None:
        """Read Ray's list of groups again if it is time to, or `now`.

        Groups that are gone are forgotten; groups nobody knows (of a warden that was killed) are
        asked what they hold.
        """
        at = self._clock()
        listed = self._listed_at
        if not now and listed is not None and at - listed < self._settings.relist_s:
            return
        groups = {group.name: group for group in self._slots.groups()}
        self._listed_at = at
        self._forget_missing(groups)
        strays = [
            group
            for name, group in groups.items()
            if name not in self.book.fences
            and name.removeprefix(JOB_PREFIX) not in self.book.reservations
        ]
        self._adopt(strays)

    def _forget_missing(self, groups: Mapping[str, Group]) -> None:
        for name in [name for name in self.book.fences if name not in groups]:
            del self.book.fences[name]
        for reservation in list(self.book.reservations.values()):
            if reservation.group not in groups:
                del self.book.reservations[reservation.submission_id]
                self._memory.delete(reservation.group)

    def _adopt(self, strays: Sequence[Group]) -> None:
        remembered = {group.name: self._memory.get(group.name) for group in strays}
        asked = [g.name for g in strays if g.created and remembered[g.name] is None]
        slots = self._slots.slots_of(asked)
        useless: list[str] = []
        for group in strays:
            text = remembered[group.name]
            submission_id = group.name.removeprefix(JOB_PREFIX)
            if text is not None:
                known = Reservation.from_json(submission_id, text)
                self.book.reservations[submission_id] = known
            elif not group.created:
                useless.append(group.name)
            elif group.name.startswith(FENCE_PREFIX):
                self._adopt_fence(group, slots[group.name])
            else:
                self._adopt_reservation(group, slots[group.name])
        if useless:
            self._slots.remove(useless)

    def _adopt_fence(self, group: Group, slots: tuple[str, ...] | None) -> None:
        node_id, share = group.bundles[0]
        piece = Piece(slot=slots[0], share=share) if slots else None
        self.book.fences[group.name] = (node_id, piece)

    def _adopt_reservation(self, group: Group, slots: tuple[str, ...] | None) -> None:
        """Take over a reservation whose maker was killed before it could write it down."""
        found = slots or ("",) * len(group.bundles)
        submission_id = group.name.removeprefix(JOB_PREFIX)
        self.book.reservations[submission_id] = Reservation(
            submission_id=submission_id,
            bundles=tuple(
                Bundle(node_id=node_id, slot=slot, share=share)
                for (node_id, share), slot in zip(group.bundles, found, strict=True)
            ),
        )
