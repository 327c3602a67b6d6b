"""The cards of a cluster as one decision uses them up.

A snapshot is summarised once into sorted lists; after that a question about a thousand cards is a
binary search, and each grant removes its cards, so that none is given twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable

from gimbal.scheduling.card import (
    STANDING_OF,
    Card,
    Slot,
    Standing,
    capacity_bytes,
    shared_capacity_bytes,
    takes_margin,
)
from gimbal.scheduling.fair_share import UNITS, share_units
from gimbal.scheduling.model import (
    Condition,
    GpuUuid,
    JobId,
    NodeName,
    Request,
    Running,
    Snapshot,
)
from gimbal.scheduling.settings import PolicySettings


class Supply:
    """Cards by what can be done with them.

    Args:
        snapshot: The cluster.
        settings: The safety margin.

    Attributes:
        cards: Every card by its UUID.
        free: Cards that can be granted whole, sorted.
        nodes: The same by node.
        shared: Cards more shares of which can be granted, sorted.
        leaving: Cards that come free and are not spoken for yet, sorted.
        losing: Cards that some job was asked to leave.
        known_totals: Memory of every card that is known, sorted.
        kept_for: The job for which a card is kept.
        changes: How often a card has changed its standing.
    """

    def __init__(self, snapshot: Snapshot, settings: PolicySettings) -> None:
        self._settings = settings
        self.cards: dict[GpuUuid, Card] = {
            gpu.uuid: Card(gpu, STANDING_OF[gpu.condition], capacity_bytes(gpu, settings))
            for gpu in snapshot.gpus
        }
        self.losing: set[GpuUuid] = set()
        for job in snapshot.running:
            self._commit(job)
        self._totals: dict[Standing, list[int]] = {standing: [] for standing in Standing}
        self.free: list[Slot] = []
        self.nodes: dict[NodeName, list[Slot]] = defaultdict(list)
        self.shared: list[Slot] = []
        self.leaving: list[Slot] = []
        self.changes = 0
        self._tallies: dict[tuple[int, int], dict[Standing, int]] = {}
        self.kept_for: dict[GpuUuid, JobId] = {}
        for card in self.cards.values():
            self._file(card)
        self._sort()
        self._sizes = sorted({gpu.total_bytes for gpu in snapshot.gpus})
        self.known_totals = sorted(
            gpu.total_bytes for gpu in snapshot.gpus if gpu.condition is not Condition.UNKNOWN
        )

    def _commit(self, job: Running) -> None:
        for grant in job.grants:
            card = self.cards.get(grant.uuid)
            if card is None:
                continue
            card.holders.append(job)
            if job.stopping:
                self.losing.add(grant.uuid)
            whole = grant.memory_bytes is None
            card.units += UNITS if whole else share_units(grant.share)
            card.committed_bytes += grant.memory_bytes or 0

    def _file(self, card: Card) -> None:
        """Say how a card stands, and list it there."""
        gpu = card.gpu
        usable = gpu.condition in (Condition.FREE, Condition.OURS)
        if card.holders and (usable or gpu.condition is Condition.COOLING):
            leaving = usable and all(job.stopping for job in card.holders)
            card.standing = Standing.LEAVING if leaving else Standing.RUNNING
            card.open = usable and card.units < UNITS
        if card.open:
            card.room_bytes = self.room_bytes(card)
            self.shared.append(card.share_slot)
        if card.standing is Standing.FREE:
            self.free.append(card.slot)
            self.nodes[gpu.node].append(card.slot)
        elif card.standing is Standing.LEAVING:
            self.leaving.append(card.slot)
        self._totals[card.standing].append(gpu.total_bytes)

    def _sort(self) -> None:
        self.free.sort()
        self.shared.sort()
        self.leaving.sort()
        for slots in self.nodes.values():
            slots.sort()
        for totals in self._totals.values():
            totals.sort()

    def room_bytes(self, card: Card) -> int:
        """Return the largest need a share of the card may have now.

        Jobs may use more than they stated; what they were seen to use counts, if it is more.
        """
        return self.empty_room_bytes(card) - max(card.committed_bytes, card.gpu.own_bytes)

    def empty_room_bytes(self, card: Card) -> int:
        """Return the largest need a share of the card may have when nobody of ours is on it."""
        return shared_capacity_bytes(card.gpu, self._settings)

    def takes_margin(self, card: Card) -> bool:
        """Return whether a whole grant leaves a margin to others on the card."""
        return takes_margin(card.gpu, self._settings)

    def _move(self, card: Card, standing: Standing) -> None:
        """Change how a card stands and every list it is in."""
        self.changes += 1
        totals = self._totals[card.standing]
        del totals[bisect_left(totals, card.gpu.total_bytes)]
        insort(self._totals[standing], card.gpu.total_bytes)
        if card.standing is Standing.FREE:
            _remove(self.free, card.slot)
            _remove(self.nodes[card.gpu.node], card.slot)
        elif card.standing is Standing.LEAVING:
            _remove(self.leaving, card.slot)
        if standing is Standing.LEAVING:
            insort(self.leaving, card.slot)
        card.standing = standing

    def take(self, uuid: GpuUuid) -> None:
        """Grant a free card whole."""
        card = self.cards[uuid]
        self._move(card, Standing.RUNNING)
        card.units = UNITS
        card.granted_now = True

    def take_share(self, uuid: GpuUuid, units: int, need_bytes: int) -> None:
        """Grant a share of a card that is free or shared."""
        card = self.cards[uuid]
        if card.open:
            _remove(self.shared, card.share_slot)
        if card.standing is not Standing.RUNNING:
            self._move(card, Standing.RUNNING)
        card.granted_now = True
        card.units += units
        card.committed_bytes += need_bytes
        card.room_bytes = self.room_bytes(card)
        card.open = card.units < UNITS
        if card.open:
            insort(self.shared, card.share_slot)

    def keep(self, uuid: GpuUuid, job_id: JobId) -> None:
        """Keep a card that is free or coming free for a job that is ahead."""
        self.close(uuid)
        self._move(self.cards[uuid], Standing.KEPT)
        self.kept_for[uuid] = job_id

    def close(self, uuid: GpuUuid) -> None:
        """Grant no more shares of a card."""
        card = self.cards[uuid]
        card.closed = True
        if card.open:
            _remove(self.shared, card.share_slot)
            card.open = False

    def ask_to_leave(self, jobs: Iterable[Running], stopping: set[JobId]) -> None:
        """Count the cards of jobs that are asked to leave as coming free.

        Args:
            jobs: The jobs that are asked now.
            stopping: Ids of all jobs that were asked, these included.
        """
        for job in jobs:
            for grant in job.grants:
                card = self.cards.get(grant.uuid)
                if card is None or card.standing is not Standing.RUNNING or card.granted_now:
                    continue
                self.losing.add(grant.uuid)
                if all(holder.job_id in stopping for holder in card.holders):
                    self._move(card, Standing.LEAVING)

    def count_free(self, request: Request) -> int:
        """Return how many whole cards fit a job now; 0 for a share, which is counted otherwise."""
        if request.share < 1:
            return 0
        return self.count(self.free, request.memory_bytes or 0, request.avoid)

    def count(self, slots: list[Slot], need_bytes: int, avoid: frozenset[GpuUuid]) -> int:
        """Return how many of these whole cards a need fits on."""
        found = len(slots) - bisect_left(slots, (need_bytes,))
        if avoid and found:
            standing = Standing.FREE if slots is self.free else Standing.LEAVING
            found -= sum(
                card.standing is standing and card.capacity_bytes >= need_bytes
                for card in map(self.cards.get, avoid)
                if card is not None
            )
        return found

    def size_class(self, need_bytes: int) -> int:
        """Return a number that needs share which the same cards are large enough for."""
        return bisect_left(self._sizes, need_bytes)

    def _large_enough(self, need_bytes: int) -> dict[Standing, int]:
        key = (self.size_class(need_bytes), self.changes)
        if key not in self._tallies:
            self._tallies[key] = {
                standing: len(totals) - bisect_left(totals, need_bytes)
                for standing, totals in self._totals.items()
            }
        return self._tallies[key]

    def tally(self, need_bytes: int, avoid: frozenset[GpuUuid]) -> tuple[dict[Standing, int], int]:
        """Count the cards that are large enough for a need when empty.

        Returns:
            How many of them stand how, without those to avoid; how many are to be avoided.
        """
        counts, gone = dict(self._large_enough(need_bytes)), self.avoided(need_bytes, avoid)
        for standing in gone:
            counts[standing] -= 1
        return counts, len(gone)

    def avoided(self, need_bytes: int, avoid: frozenset[GpuUuid]) -> tuple[Standing, ...]:
        """Return how those cards to avoid stand that are large enough when empty."""
        known = (card for card in map(self.cards.get, avoid) if card is not None)
        return tuple(sorted(card.standing for card in known if card.gpu.total_bytes >= need_bytes))


def _remove(slots: list[Slot], slot: Slot) -> None:
    del slots[bisect_left(slots, slot)]
