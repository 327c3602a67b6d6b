"""Which cards a job would get now: the smallest that do, on as few nodes as can be.

Ties are broken by the names of node and card, so that a replay agrees and the first nodes fill up
first, which keeps whole nodes free for gangs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import islice

from gimbal.scheduling.card import Slot
from gimbal.scheduling.fair_share import UNITS, share_units
from gimbal.scheduling.model import GpuUuid, Grant, NodeName, Request
from gimbal.scheduling.supply import Supply


def need_bytes(request: Request) -> int:
    """Return the memory a card must offer; 0 where only a whole clean card is wanted."""
    return request.memory_bytes or 0


class Fitter:
    """Finds cards in a supply and takes them from it."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._refused: list[tuple[int, int]] = []

    def take(self, request: Request, *, free: int) -> tuple[Grant, ...] | None:
        """Grant a job all its cards, or none.

        Args:
            request: The job.
            free: How many whole cards fit it now.

        Returns:
            One grant a worker; None if not all of them fit now.
        """
        if request.share < 1:
            return self._take_share(request)
        if free < request.gpus:
            return None
        chosen = self._whole(request)
        for _, _, uuid in chosen:
            self._supply.take(uuid)
        return tuple(
            Grant(uuid=uuid, node=node, memory_bytes=request.memory_bytes)
            for _, node, uuid in chosen
        )

    def _whole(self, request: Request) -> list[Slot]:
        supply, need, count = self._supply, need_bytes(request), request.gpus
        avoid = request.avoid
        if count == 1:
            first = bisect_left(supply.free, (need,))
            return [next(s for s in islice(supply.free, first, None) if s[2] not in avoid)]
        if avoid:
            nodes = {
                n: [s for s in slots if s[2] not in avoid] for n, slots in supply.nodes.items()
            }
        else:
            nodes = supply.nodes
        return self._on_one_node(nodes, need, count) or _spread(nodes, need, count)

    def _on_one_node(
        self, nodes: Mapping[NodeName, list[Slot]], need: int, count: int
    ) -> list[Slot] | None:
        """Choose the node with the smallest cards that do, then the one with the least left."""
        cards, fitting = self._supply.cards, []
        for node, slots in nodes.items():
            first = bisect_left(slots, (need,))
            left = len(slots) - first - count
            if left >= 0:
                largest = cards[slots[first + count - 1][2]].gpu.total_bytes
                fitting.append((largest, left, node, first))
        if not fitting:
            return None
        _, _, node, first = min(fitting)
        return nodes[node][first : first + count]

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


def _spread(nodes: Mapping[NodeName, list[Slot]], need: int, count: int) -> list[Slot]:
    """Take the nodes with the most cards; the last is the smallest that completes the gang."""
    chosen: list[Slot] = []
    left = {node: found for node, slots in nodes.items() if (found := _from(slots, need))}
    while len(chosen) < count:
        missing = count - len(chosen)
        enough = [(len(slots), node) for node, slots in left.items() if len(slots) >= missing]
        node = min(enough)[1] if enough else min((-len(s), n) for n, s in left.items())[1]
        chosen += left.pop(node)[:missing]
    return chosen
