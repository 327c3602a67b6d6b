"""Get Ray to give a reservation exactly the cards that were chosen.

Ray gives the lowest free slots, and shares from the fullest card they fit on. So everything Ray
would rather give is taken out of its reach first, the chosen cards last, and only then the
reservation is asked for. What came is always asked for (a stranger may be faster by a hair), and
anything else is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gimbal.gpus.fence_plan import WHOLE, NodeSlots, Piece, grab_size, next_slots
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.slot_book import Bundle, NodeCards, SlotBook
from gimbal.gpus.slots import CardsTaken, Slots

_PIECES = 64
"""Shares that may lie in the way on one node, before the reservation gives up."""
_LAGS = 3
"""How often Ray's count is asked again when it seems to have too few slots left."""


class Reserver:
    """Makes one reservation; `nodes` are those of its bundles."""

    def __init__(
        self,
        slots: Slots,
        book: SlotBook,
        settings: FenceSettings,
        nodes: Mapping[str, NodeCards],
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._slots = slots
        self._book = book
        self._settings = settings
        self._nodes = nodes
        self._blocks: list[str] = []

    def make(self, name: str, wanted: Sequence[Bundle]) -> tuple[Bundle, ...]:
        """Return the bundles of the new group `name`, in its order.

        Raises:
            CardsTaken: Somebody is on a card, or was faster. Nothing is held.
        """
        try:
            self._unfence(wanted)
            direct = self._would_come(wanted)
            for _ in range(self._settings.tries):
                if not direct:
                    self._clear_the_way(wanted)
                placed = self._place(name, wanted)
                if placed is not None:
                    return placed
                # Either the wrong cards came, or too few are left: clearing the way tells which.
                direct = False
            raise CardsTaken("somebody else's Ray tasks took a card first each time")
        finally:
            self._drop(self._blocks, settle=False)

    def _place(self, name: str, wanted: Sequence[Bundle]) -> tuple[Bundle, ...] | None:
        came = self._slots.take_named(name, [(b.node_id, b.share) for b in wanted])
        if came is None:
            return None
        chosen = {bundle.place: bundle for bundle in wanted}
        got = [(b.node_id, slot, round(b.share, 4)) for b, slot in zip(wanted, came, strict=True)]
        if set(got) == set(chosen):
            return tuple(chosen[place] for place in got)
        self._slots.remove([name], settle=True)
        return None

    def _would_come(self, wanted: Sequence[Bundle]) -> bool:
        """Whether Ray would give these anyway, as far as is known; then nobody is disturbed."""
        if any(bundle.share < WHOLE for bundle in wanted):
            return True  # it cannot be foretold, and asking costs less than clearing the way
        available = self._slots.available()
        return all(
            set(next_slots(self._view(node_id, available), len(chosen))) == chosen
            for node_id, chosen in _by_node(wanted).items()
        )

    def _clear_the_way(self, wanted: Sequence[Bundle]) -> None:
        for node_id, chosen in _by_node(wanted).items():
            shared = next((b for b in wanted if b.node_id == node_id and b.share < WHOLE), None)
            if shared is None:
                self._block_others(node_id, chosen)
            else:
                self._block_shares(shared)

    def _block_others(self, node_id: str, chosen: set[str]) -> None:
        """Hold every whole slot of a node that Ray would give before the last chosen one."""
        came: dict[str, str] = {}
        for _ in range(_LAGS):
            view = self._view(node_id, self._slots.available())
            size = grab_size(view, chosen - set(came.values()))
            more = self._slots.take(node_id, 1.0, size)
            self._note(node_id, more, 1.0)
            came |= more
            if chosen <= set(came.values()) or size < view.free:
                break
            self._slots.settle()  # Ray's count may lag behind what was given back a moment ago
        missing = chosen - set(came.values())
        if missing:
            self._book.note_taken(node_id, missing, self._clock())
            raise CardsTaken(f"somebody else's Ray task is on slot {', '.join(sorted(missing))}")
        self._drop([name for name, slot in came.items() if slot in chosen])

    def _block_shares(self, bundle: Bundle) -> None:
        """Hold every piece of a node that Ray would give before one of the chosen card."""
        if not self._book.share_of(bundle.node_id, bundle.slot):
            self._block_others(bundle.node_id, {bundle.slot})
        for _ in range(_PIECES):
            came = self._slots.take(bundle.node_id, bundle.share, 1)
            self._note(bundle.node_id, came, bundle.share)
            if not came:
                break
            if bundle.slot in came.values():
                self._drop(list(came))
                return
        self._book.note_taken(bundle.node_id, [bundle.slot], self._clock())
        raise CardsTaken(f"slot {bundle.slot} has not that share left in Ray's count")

    def _unfence(self, wanted: Sequence[Bundle]) -> None:
        """Give back fences on chosen cards: they were found free a moment ago."""
        chosen = {(bundle.node_id, bundle.slot) for bundle in wanted}
        self._drop(
            [
                name
                for name, (node_id, piece) in self._book.fences.items()
                if piece is not None and (node_id, piece.slot) in chosen
            ]
        )

    def _note(self, node_id: str, came: Mapping[str, str], share: float) -> None:
        self._blocks += came
        self._book.note_came(node_id, came.values())
        for name, slot in came.items():
            self._book.fences[name] = (node_id, Piece(slot=slot, share=share))

    def _drop(self, names: Sequence[str], *, settle: bool = True) -> None:
        gone = set(names)
        if gone:
            self._slots.remove(sorted(gone), settle=settle)
        self._blocks = [name for name in self._blocks if name not in gone]
        for name in gone:
            self._book.fences.pop(name, None)

    def _view(self, node_id: str, available: Mapping[str, float]) -> NodeSlots:
        left = available.get(node_id, 0.0)
        return self._book.view(self._nodes[node_id], left, self._clock())


def _by_node(bundles: Sequence[Bundle]) -> dict[str, set[str]]:
    chosen: dict[str, set[str]] = {}
    for bundle in bundles:
        chosen.setdefault(bundle.node_id, set()).add(bundle.slot)
    return chosen
