"""From samples to conditions: which card of the cluster is what to us right now.

The clock it is given may jump. It only adds up the time between calls, never more of it at once
than makes a sample stale: after a jump forward or a long sleep everything is unknown and has to be
seen clean again, after a jump back nothing is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gimbal.gpus.card_history import CardHistory, Verdict
from gimbal.gpus.model import NodeReport
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.words import clock_time, duration
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, NodeName

_NOTHING: Mapping[GpuUuid, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldCard:
    """A person's claim on a card.

    Attributes:
        node: The card's node.
        index: Its number there.
        until: When the claim ends, Unix seconds.
        user: Whose it is.
        reason: What for; may be empty.
    """

    node: NodeName
    index: int
    until: float
    user: str
    reason: str = ""

    def words(self, now: float) -> str:
        """Return `held by alice until 14:05 (1 h 20 min left): thesis demo`."""
        left = duration(max(0.0, self.until - now))
        claim = f"held by {self.user} until {clock_time(self.until, now)} ({left} left)"
        return f"{claim}: {self.reason}" if self.reason else claim


class Occupancy:
    """The cards of all nodes and what they are to us. Not for several threads at once."""

    def __init__(self, settings: OccupancySettings) -> None:
        self._settings = settings
        self._cards: dict[tuple[NodeName, GpuUuid], CardHistory] = {}
        self._latest: dict[NodeName, NodeReport] = {}
        self._last_now: float | None = None
        self._elapsed_s = 0.0

    def observe(self, report: NodeReport, *, now: float) -> None:
        """Take in what a node's agent says; the same report twice counts once.

        Args:
            report: One sample of one node.
            now: Unix seconds.
        """
        at = self._pass_time(now)
        if self._latest.get(report.node) == report:
            return
        self._latest[report.node] = report
        if report.problem:
            self._lose(report.node, report.problem)
            return
        for gpu in report.gpus:
            key = report.node, gpu.sample.uuid
            if key in self._cards:
                self._cards[key].see(gpu, at)
            else:
                self._cards[key] = CardHistory(self._settings, gpu, at)
        listed = {gpu.sample.uuid for gpu in report.gpus}
        for (node, uuid), card in self._cards.items():
            if node == report.node and uuid not in listed:
                card.lose("the driver does not list it any more")

    def lost(self, node: NodeName, *, now: float, why: str) -> None:
        """Note that a node's agent does not answer.

        Args:
            node: The node.
            now: Unix seconds.
            why: A sentence for people.
        """
        self._pass_time(now)
        self._lose(node, why)

    def snapshot(
        self,
        *,
        now: float,
        holds: Sequence[HeldCard] = (),
        quarantined: Mapping[GpuUuid, str] = _NOTHING,
    ) -> tuple[Gpu, ...]:
        """Return every card, in the order of nodes and of their numbers.

        Args:
            now: Unix seconds.
            holds: Claims of people; those that ended are ignored.
            quarantined: Cards nobody should use, and why; how to release one is added.
        """
        at = self._pass_time(now)
        self._forget(at)
        for card in self._cards.values():
            card.advance(at)
        claims = {(hold.node, hold.index): hold.words(now) for hold in holds if hold.until > now}
        gpus = [
            _gpu(node, card, at, _claimed(node, card, claims, quarantined))
            for (node, _), card in self._cards.items()
        ]
        return tuple(sorted(gpus, key=lambda gpu: (gpu.node, gpu.index, gpu.uuid)))

    def _pass_time(self, now: float) -> float:
        """Return the occupancy's own time, which `now` moves forward a little at most."""
        if self._last_now is not None:
            most = self._settings.stale_after_s * 1.001
            self._elapsed_s += min(max(0.0, now - self._last_now), most)
        self._last_now = now
        return self._elapsed_s

    def _lose(self, node: NodeName, why: str) -> None:
        for (other, _), card in self._cards.items():
            if other == node:
                card.lose(why)

    def _forget(self, at: float) -> None:
        gone = [
            key
            for key, card in self._cards.items()
            if at - card.seen_at > self._settings.forget_after_s
        ]
        for key in gone:
            del self._cards[key]


def _claimed(
    node: NodeName,
    card: CardHistory,
    claims: Mapping[tuple[NodeName, int], str],
    quarantined: Mapping[GpuUuid, str],
) -> Verdict | None:
    """Return what people and the service said of a card; None: nothing."""
    sample = card.gpu.sample
    if sample.uuid in quarantined:
        mended = f"gimbal gpus release {node}:{sample.index} when it is mended"
        note = f"{quarantined[sample.uuid]}; {mended}"
        return Verdict(condition=Condition.FAULTY, note=note)
    if (node, sample.index) in claims:
        return Verdict(condition=Condition.HELD, note=claims[node, sample.index])
    return None


def _gpu(node: NodeName, card: CardHistory, at: float, claimed: Verdict | None) -> Gpu:
    sample = card.gpu.sample
    seen = card.verdict(at)
    verdict = seen if claimed is None or seen.condition is Condition.FAULTY else claimed
    return Gpu(
        uuid=sample.uuid,
        node=node,
        index=sample.index,
        name=sample.name,
        total_bytes=max(0, (sample.total_bytes or 0) - sample.reserved_bytes),
        condition=verdict.condition,
        foreign_bytes=card.foreign_peak_bytes(at),
        own_bytes=card.own_bytes(),
        note=verdict.note,
        cooling_s=verdict.cooling_s,
    )
