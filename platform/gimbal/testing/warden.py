"""A cluster's GPUs in memory: reservations as Ray's accounting has them, and neighbours by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gimbal.jobs.model import Hold
from gimbal.jobs.ports import Clock, LaunchUnavailable, ReserveFailed
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, Grant, NodeName

GIB = 1 << 30
_EPSILON = 1e-9


@dataclass(slots=True)
class ScriptedCard:
    """One card.

    Attributes:
        uuid: Its name.
        node: Its node.
        index: Its number there.
        total_bytes: Its memory.
        foreign_bytes: What a neighbour holds.
        clean_since: When the last neighbour left, on the monotonic clock.
        own_bytes: What attempts hold.
        fault: Why nobody may use it; empty: nothing.
    """

    uuid: GpuUuid
    node: NodeName
    index: int
    total_bytes: int
    foreign_bytes: int = 0
    clean_since: float = float("-inf")
    own_bytes: int = 0
    fault: str = ""


class ScriptedWarden:
    """A `GpuWarden` whose world is moved by hand.

    Args:
        clock: The time.
        cards: Number of cards of each node.
        total_bytes: Memory of each card.
        cooling_s: How long a card stays `cooling` after a neighbour left.

    Attributes:
        cards: Every card.
        held: The reservations.
        unavailable: Whether Ray answers nothing.
        quarantined: Cards the controller wants everybody kept off, and why.
    """

    def __init__(
        self,
        clock: Clock,
        cards: Sequence[int] = (4,),
        *,
        total_bytes: int = 24 * GIB,
        cooling_s: float = 15.0,
    ) -> None:
        self._clock = clock
        self._cooling_s = cooling_s
        self._holds: dict[tuple[str, int], Hold] = {}
        self.cards = {
            GpuUuid(f"GPU-{node}-{index}"): ScriptedCard(
                uuid=GpuUuid(f"GPU-{node}-{index}"),
                node=NodeName(f"node{node}"),
                index=index,
                total_bytes=total_bytes,
            )
            for node, count in enumerate(cards)
            for index in range(count)
        }
        self.held: dict[str, tuple[Grant, ...]] = {}
        self.unavailable = False
        self.quarantined: dict[GpuUuid, str] = {}

    def snapshot(self) -> tuple[Gpu, ...]:
        """Return every card."""
        self._answer()
        return tuple(self._seen(card) for card in self.cards.values())

    def reserve(self, submission_id: str, grants: Sequence[Grant]) -> tuple[tuple[str, int], ...]:
        """Take these cards; taking them again under the same name changes nothing."""
        self._answer()
        if submission_id not in self.held:
            for grant in grants:
                self._require_free(grant)
            self.held[submission_id] = tuple(grants)
        held = self.held[submission_id]
        return tuple((grant.uuid, self.cards[grant.uuid].index) for grant in held)

    def free(self, submission_id: str) -> None:
        """Let go of an attempt's cards."""
        self._answer()
        self.held.pop(submission_id, None)

    def reservations(self) -> tuple[str, ...]:
        """Return who holds cards."""
        self._answer()
        return tuple(self.held)

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Replace the holds of people."""
        self._answer()
        self._holds = {(hold.node, hold.index): hold for hold in holds}

    def set_quarantines(self, cards: Mapping[GpuUuid, str]) -> None:
        """Replace the cards nobody should use."""
        self._answer()
        self.quarantined = dict(cards)

    def arrive(self, uuid: GpuUuid, size_bytes: int) -> None:
        """Let a neighbour take memory on a card."""
        self.cards[uuid].foreign_bytes = size_bytes

    def leave(self, uuid: GpuUuid) -> None:
        """Let the neighbour leave; the card cools from now on."""
        card = self.cards[uuid]
        if card.foreign_bytes:
            card.foreign_bytes = 0
            card.clean_since = self._clock.monotonic()

    def lose_memory(self) -> None:
        """Restart Ray's head: its reservations and what it was told are gone."""
        self.held.clear()
        self._holds.clear()
        self.quarantined.clear()

    def _answer(self) -> None:
        if self.unavailable:
            raise LaunchUnavailable("the scripted warden is away")

    def _require_free(self, grant: Grant) -> None:
        card = self.cards[grant.uuid]
        taken = sum(
            other.share
            for grants in self.held.values()
            for other in grants
            if other.uuid == grant.uuid
        )
        condition = self._condition(card)
        if condition not in (Condition.FREE, Condition.OURS):
            raise ReserveFailed(f"{card.node}:{card.index} is {condition.value}")
        if taken + grant.share > 1 + _EPSILON:
            raise ReserveFailed(f"{card.node}:{card.index} is reserved already")

    def _seen(self, card: ScriptedCard) -> Gpu:
        return Gpu(
            uuid=card.uuid,
            node=card.node,
            index=card.index,
            name="scripted",
            total_bytes=card.total_bytes,
            condition=self._condition(card),
            foreign_bytes=card.foreign_bytes,
            own_bytes=card.own_bytes,
            note="somebody" if card.foreign_bytes else "",
        )

    def _condition(self, card: ScriptedCard) -> Condition:
        hold = self._holds.get((card.node, card.index))
        if card.fault or card.uuid in self.quarantined:
            return Condition.FAULTY
        if card.foreign_bytes:
            return Condition.FOREIGN
        if hold is not None and hold.until > self._clock.now():
            return Condition.HELD
        if self._clock.monotonic() - card.clean_since < self._cooling_s:
            return Condition.COOLING
        return Condition.OURS if card.own_bytes else Condition.FREE
