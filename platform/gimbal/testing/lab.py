"""A lab on a virtual clock: cards, colleagues who come and go, and attempts at jobs.

Only physics is here: what holds which memory, and who dies of the lack of it. Who starts what is
decided elsewhere, by the real controller or by a policy to compare it with, so all of them meet the
same world. The words that the figures rest on:

- An attempt is *admitted* when it is started here. It then goes through a start of fixed length:
  process and imports, then the guard (or the first load), then the checkpoint, then training, whose
  memory steps up at the first batch and again at each evaluation.
- An attempt *with a guard* takes its whole need at once after the imports and keeps it. If a card
  lacks it then, the attempt waits some seconds and leaves: a **bounce**. It costs half a minute and
  loses no work. Libraries take a little more at the first batch, outside of what was taken.
- An attempt *without one* takes memory as it steps up, and dies where a card lacks it.
- A **death after admission** is an attempt that ends for want of memory which a colleague holds,
  unless it is a bounce off a colleague who came after the admission. So it counts: any such end
  without a guard; an end after the guard had succeeded; and a bounce off a colleague who was there
  already when the attempt was admitted, since looking would have shown him.
- A job that trains on a card on which a colleague computes as well trains at half speed.
- A colleague whose process does not find its memory gives up and tries again half an hour later, if
  his visit lasts so long.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count

from gimbal.scheduling.model import GpuUuid
from gimbal.testing.lab_attempt import (
    BESIDE_OTHERS,
    CHECKPOINT_EVERY_S,
    EARLY_BYTES,
    EVAL_EVERY_S,
    FIRST_BATCH_S,
    LOAD_S,
    LOADED,
    PATIENCE_S,
    START_S,
    TRAINING,
    TRY_AGAIN_S,
    WORKSPACE_BYTES,
    End,
    LabAttempt,
    LabCard,
)
from gimbal.testing.lab_scenario import LabJob, Scenario, Visit


class Lab:
    """The world.

    Args:
        scenario: Jobs and visits.

    Attributes:
        now_s: Seconds since the beginning.
        cards: The cards.
        attempts: Every attempt, also those that have ended.
        done_s: Training of each job that counts so far.
        finished_s: When each finished job did.
        on_end: Called with every attempt that ends.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.now_s = 0.0
        self.cards = tuple(
            LabCard(GpuUuid(f"GPU-lab-{i:02d}"), i, scenario.shape.total_bytes)
            for i in range(scenario.shape.cards)
        )
        self.attempts: list[LabAttempt] = []
        self.done_s: dict[str, float] = {}
        self.finished_s: dict[str, float] = {}
        self.on_end: Callable[[LabAttempt], None] = lambda attempt: None
        self._active: dict[str, LabAttempt] = {}
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        for number, visit in enumerate(scenario.visits):
            self._at(visit.arrive_s, lambda v=visit, n=number: self._arrive(v, n))  # type: ignore[misc]

    def advance(self, until_s: float) -> None:
        """Let time pass and everything happen that happens meanwhile."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        self.now_s = until_s

    def start(
        self, name: str, job: LabJob, cards: tuple[LabCard, ...], *, guarded: bool
    ) -> LabAttempt:
        """Admit an attempt."""
        attempt = LabAttempt(name, job, cards, guarded, self.now_s)
        self.attempts.append(attempt)
        self._active[name] = attempt
        for card in cards:
            card.own[name] = 0
        self._at(self.now_s + START_S, lambda: self._first_use(attempt, self.now_s + PATIENCE_S))
        return attempt

    def _at(self, at_s: float, happen: Callable[[], object]) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), happen))

    def _first_use(self, attempt: LabAttempt, give_up_s: float) -> None:
        job = attempt.job
        wanted = job.need_bytes if attempt.guarded else int(0.1 * job.need_bytes)
        if not self._take(attempt, wanted):
            if not attempt.guarded:
                self._lose(attempt, End.DIED)
            elif self.now_s >= give_up_s:
                self._lose(attempt, End.BOUNCED)
            else:
                self._at(self.now_s + 1, lambda: self._first_use(attempt, give_up_s))
            return
        attempt.held = attempt.guarded
        self._at(self.now_s + LOAD_S, lambda: self._train(attempt))

    def _train(self, attempt: LabAttempt) -> None:
        if not self._step(attempt, LOADED):
            return
        self._pace(attempt)
        self._at(self.now_s + FIRST_BATCH_S, lambda: self._step(attempt, TRAINING))
        self._at(self.now_s + EVAL_EVERY_S, lambda: self._step(attempt, 1.0))

    def _pace(self, attempt: LabAttempt) -> None:
        """Train at the speed that those who share the cards allow, and end accordingly."""
        crowded = any(card.guests for card in attempt.cards)
        attempt.pace(BESIDE_OTHERS if crowded else 1.0, self.now_s)
        done = self.done_s.get(attempt.job.name, 0.0) + attempt.trained_s(self.now_s)
        left_s = max(0.0, attempt.job.work_s - done) / attempt.rate
        changes = len(attempt.paces)
        self._at(self.now_s + left_s, lambda: self._finish(attempt, changes))

    def _step(self, attempt: LabAttempt, share: float) -> bool:
        """Take what a phase needs; return whether the attempt lives on."""
        if attempt.end is not None:
            return False
        wanted = attempt.job.need_bytes if attempt.held else int(share * attempt.job.need_bytes)
        if share > LOADED:
            wanted += WORKSPACE_BYTES
        if self._take(attempt, wanted):
            return True
        self._lose(attempt, End.DIED)
        return False

    def _take(self, attempt: LabAttempt, wanted: int) -> bool:
        """Hold this much on every card, or change nothing."""
        if attempt.end is not None:
            return False
        lacking = [c for c in attempt.cards if c.room_bytes() < wanted - c.own[attempt.name]]
        if lacking:
            return False
        for card in attempt.cards:
            card.own[attempt.name] = max(wanted, card.own[attempt.name])
        return True

    def _lose(self, attempt: LabAttempt, end: End) -> None:
        if attempt.end is not None:
            return
        there = any(card.foreign_since_s <= attempt.admitted_s for card in attempt.cards)
        attempt.is_death = end is End.DIED or there
        trained = attempt.trained_s(self.now_s)
        before = self.done_s.get(attempt.job.name, 0.0)
        saved = math.floor((before + trained) / CHECKPOINT_EVERY_S) * CHECKPOINT_EVERY_S
        self._end(attempt, end, max(0.0, saved - before))

    def _finish(self, attempt: LabAttempt, changes: int) -> None:
        """End an attempt whose work is done, unless its speed has changed since this was set."""
        if attempt.end is None and len(attempt.paces) == changes:
            self.finished_s[attempt.job.name] = self.now_s
            self._end(attempt, End.DONE, attempt.trained_s(self.now_s))

    def _end(self, attempt: LabAttempt, end: End, kept_s: float) -> None:
        attempt.end, attempt.ended_s, attempt.kept_s = end, self.now_s, kept_s
        attempt.pace(0.0, self.now_s)
        del self._active[attempt.name]
        name = attempt.job.name
        self.done_s[name] = self.done_s.get(name, 0.0) + kept_s
        for card in attempt.cards:
            card.own.pop(attempt.name)
        self.on_end(attempt)

    def _arrive(self, visit: Visit, number: int) -> None:
        """Let a colleague's process start, if its visit is not over."""
        card = self.cards[visit.card]
        if self.now_s >= visit.leave_s - visit.grow_s:
            return
        if card.room_bytes() < EARLY_BYTES:
            self._at(self.now_s + TRY_AGAIN_S, lambda: self._arrive(visit, number))
            return
        self._hold(card, number, EARLY_BYTES)
        self._at(self.now_s + visit.grow_s, lambda: self._grow(visit, number))

    def _grow(self, visit: Visit, number: int) -> None:
        card = self.cards[visit.card]
        if card.room_bytes() < visit.full_bytes - EARLY_BYTES:
            self._hold(card, number, 0)
            self._at(self.now_s + TRY_AGAIN_S, lambda: self._arrive(visit, number))
            return
        self._hold(card, number, visit.full_bytes)
        self._at(visit.leave_s, lambda: self._hold(card, number, 0))

    def _hold(self, card: LabCard, number: int, size_bytes: int) -> None:
        if not card.guests:
            card.foreign_since_s = self.now_s
        card.guests[number] = size_bytes
        if not size_bytes:
            del card.guests[number]
        if not card.guests:
            card.foreign_since_s = math.inf
        for attempt in [self._active[name] for name in card.own]:
            if attempt.rate:
                self._pace(attempt)
