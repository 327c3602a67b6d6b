"""Policies to compare the service with, as small as they can be."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from gimbal.testing.lab import Lab
from gimbal.testing.lab_attempt import FIRST_BATCH_S, LOAD_S, START_S, End, LabAttempt, LabCard
from gimbal.testing.lab_scenario import LabJob

RETRY_S = 30.0
"""Wait after a death: what it takes to notice it and start again."""


@dataclass(slots=True)
class _Queued:
    job: LabJob
    not_before_s: float


class Baseline:
    """A queue and a rule.

    Args:
        lab: The lab.
        rank: Which of the cards that no attempt is on to use first, the smallest; None: not this.
        order: Which job goes first, the smallest.
        strict: Whether nobody goes around a job that does not fit.
        guarded: Whether attempts take their memory at once.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        rank: Callable[[LabCard], float | None],
        order: Callable[[LabJob], tuple[float, ...]],
        strict: bool,
        guarded: bool,
    ) -> None:
        self._lab = lab
        self._rank, self._order = rank, order
        self._strict, self._guarded = strict, guarded
        self._queue: list[_Queued] = []
        self._started = 0
        lab.on_end = self._ended

    def submit(self, job: LabJob) -> None:
        """Put a job into the queue."""
        self._queue.append(_Queued(job, 0.0))

    def step(self) -> None:
        """Start what the rule allows."""
        ranked = [(self._rank(card), card) for card in self._lab.cards if not card.own]
        usable = [(rank, card.index, card) for rank, card in ranked if rank is not None]
        free = [card for _, _, card in sorted(usable, key=lambda entry: entry[:2])]
        for waiting in sorted(self._queue, key=lambda q: (self._order(q.job), q.job.name)):
            if waiting.not_before_s > self._lab.now_s and not self._strict:
                continue
            if waiting.not_before_s > self._lab.now_s or waiting.job.gpus > len(free):
                if self._strict:
                    return
                continue
            chosen, free = free[: waiting.job.gpus], free[waiting.job.gpus :]
            self._queue.remove(waiting)
            self._started += 1
            name = f"{waiting.job.name}-{self._started}"
            self._lab.start(name, waiting.job, tuple(chosen), guarded=self._guarded)

    def held_back(self) -> int:
        """Return 0: no rule here holds a clean card back."""
        return 0

    def close(self) -> None:
        """Do nothing."""

    def _ended(self, attempt: LabAttempt) -> None:
        if attempt.end is not End.DONE:
            self._queue.append(_Queued(attempt.job, self._lab.now_s + RETRY_S))


def first_fit(lab: Lab) -> Baseline:
    """Return the blind one: the first job that fits on cards without a job of its own.

    What Ray does alone: it knows of no process but its own, gives out the lowest ids, and starts
    again what has died.
    """
    return Baseline(
        lab,
        rank=lambda card: 0.0,
        order=lambda job: (job.submitted_s,),
        strict=False,
        guarded=False,
    )


def fifo(lab: Lab) -> Baseline:
    """Return the queue of a careful script: strict order, cards that look empty right now."""
    return Baseline(
        lab,
        rank=lambda card: None if card.guests else 0.0,
        order=lambda job: (job.submitted_s,),
        strict=True,
        guarded=False,
    )


ORDERS: dict[str, Callable[[LabJob, float], tuple[float, ...]]] = {
    "least work left": lambda job, done_s: (job.gpus * (job.work_s - done_s),),
    "widest, then longest": lambda job, done_s: (-job.gpus, done_s - job.work_s),
    "first submitted": lambda job, done_s: (job.submitted_s,),
}
"""Orders the oracle tries; which one uses a lab best depends on what comes."""


def oracle(lab: Lab, order: str) -> Baseline:
    """Return the clairvoyant: it knows how long jobs run and when colleagues come.

    Jobs go to the cards that stay without a colleague the longest. A card is used the moment its
    colleague leaves, without a cool-down, unless the next one comes before an attempt would hold
    all its memory.

    Args:
        lab: The lab.
        order: One of `ORDERS`.
    """
    settled_s = START_S + LOAD_S + FIRST_BATCH_S
    arrivals: dict[int, list[float]] = {card.index: [] for card in lab.cards}
    for visit in lab.scenario.visits:
        arrivals[visit.card].append(visit.arrive_s)

    def rank(card: LabCard) -> float | None:
        times = arrivals[card.index]
        i = bisect_right(times, lab.now_s)
        coming_s = times[i] - lab.now_s if i < len(times) else math.inf
        return None if card.guests or coming_s <= settled_s else -coming_s

    return Baseline(
        lab,
        rank=rank,
        order=lambda job: ORDERS[order](job, lab.done_s.get(job.name, 0.0)),
        strict=False,
        guarded=True,
    )
