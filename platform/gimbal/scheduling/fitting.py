"""Which cards a job would get now: the smallest that do, on as few nodes as can be.

Ties are broken by the names of node and card, so that a replay agrees and the first nodes fill up
first, which keeps whole nodes free for gangs.
"""

from __future__ import annotations

from bisect import bisect_left

from gimbal.scheduling.fair_share import UNITS, share_units
from gimbal.scheduling.model import GpuUuid, Grant, NodeName, Request
from gimbal.scheduling.supply import Slot, Supply


def need_bytes(request: Request) -> int:
    """Return the memory a card must offer; 0 where only a whole clean card is wanted."""
    return request.memory_bytes or 0


class Fitter:
    """Finds cards in a supply and takes them from it."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._refused: list[tuple[int, int]] = []

    def take(self, request: Request) -> tuple[Grant, ...] | None:
        """Grant a job all its cards, or none.

        Returns:
            One grant a worker; None if not all of them fit now.
        """
        if request.share < 1:
            return self._take_share(request)
        chosen = self._whole(request)
        if chosen is None:
            return None
        for _, _, uuid in chosen:
            self._supply.take(uuid)
        return tuple(
            Grant(uuid=uuid, node=node, memory_bytes=request.memory_bytes)
            for _, node, uuid in chosen
        )

    def _whole(self, request: Request) -> list[Slot] | None:
        supply, need, count = self._supply, need_bytes(request), request.gpus
        if supply.count(supply.free, need, request.avoid) < count:
            return None
        if count == 1:
            return [next(s for s in _from(supply.free, need) if s[2] not in request.avoid)]
        by_node = {
            node: found
            for node, slots in supply.nodes.items()
            if (found := [s for s in _from(slots, need) if s[2] not in request.avoid])
        }
        return self._on_one_node(by_node, count) or _spread(by_node, count)

    def _on_one_node(self, by_node: dict[NodeName, list[Slot]], count: int) -> list[Slot] | None:
        """Choose the node with the smallest cards that do, then the one with the least left."""
        cards = self._supply.cards
        fitting = [
            (cards[slots[count - 1][2]].gpu.total_bytes, len(slots), node)
            for node, slots in by_node.items()
            if len(slots) >= count
        ]
        return by_node[min(fitting)[2]][:count] if fitting else None

    def _take_share(self, request: Request) -> tuple[Grant, ...] | None:
        need, units = need_bytes(request), share_units(request.share)
        if any(units >= u and need >= n for u, n in self._refused):
            return None
        uuid = self._shared(units, need, request.avoid) or self._fresh(need, request.avoid)
        if uuid is None:
            if not request.avoid:
                self._refused.append((units, need))
            return None
        self._supply.take_share(uuid, units, need)
        node = self._supply.cards[uuid].gpu.node
        return (Grant(uuid=uuid, node=node, share=request.share, memory_bytes=need),)

    def _shared(self, units: int, need: int, avoid: frozenset[GpuUuid]) -> GpuUuid | None:
        """Return the tightest card that is shared already and has room."""
        for _, _, uuid in _from(self._supply.shared, need):
            if uuid not in avoid and self._supply.cards[uuid].units + units <= UNITS:
                return uuid
        return None

    def _fresh(self, need: int, avoid: frozenset[GpuUuid]) -> GpuUuid | None:
        """Return the smallest free card that has room beside the margin."""
        for _, _, uuid in _from(self._supply.free, need):
            card = self._supply.cards[uuid]
            if uuid not in avoid and self._supply.room_bytes(card) >= need:
                return uuid
        return None


def _from(slots: list[Slot], need: int) -> list[Slot]:
    return slots[bisect_left(slots, (need,)) :]


def _spread(by_node: dict[NodeName, list[Slot]], count: int) -> list[Slot]:
    """Take the nodes with the most cards; the last is the smallest that completes the gang."""
    chosen: list[Slot] = []
    left = dict(by_node)
    while len(chosen) < count:
        missing = count - len(chosen)
        enough = [(len(slots), node) for node, slots in left.items() if len(slots) >= missing]
        node = min(enough)[1] if enough else min((-len(s), n) for n, s in left.items())[1]
        chosen += left.pop(node)[:missing]
    return chosen
