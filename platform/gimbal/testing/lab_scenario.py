"""What happens in a simulated lab: who submits what when, and when colleagues come by.

Everything is drawn from one seed with the standard library's generator, whose sequence is the same
on every machine, so a seed is a repro.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class LabJob:
    """A job of the lab.

    Attributes:
        name: Its name.
        user: Who submits it.
        submitted_s: When.
        gpus: Workers, one card each.
        need_bytes: Memory it states; what it holds at its peak.
        work_s: Training time it needs, start-up not counted.
    """

    name: str
    user: str
    submitted_s: float
    gpus: int
    need_bytes: int
    work_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A colleague's process on a card, as he wishes it.

    Attributes:
        card: Number of the card.
        arrive_s: When it starts.
        leave_s: When it ends.
        grow_s: How long after its start it takes all it needs; before, it holds little.
        full_bytes: What it needs.
    """

    card: int
    arrive_s: float
    leave_s: float
    grow_s: float
    full_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How busy a lab is.

    Attributes:
        cards: Number of cards, all in one node.
        total_bytes: Memory of each.
        jobs: Number of jobs.
        load: Work submitted for each GPU-second that nobody else wants, while jobs are submitted.
        foreign_bytes: What a colleague's process needs. 0: nobody comes.
        away_s: Mean time between two visits to a card.
        visit_s: Mean length of a visit.
        flapping: Share of visits that are a script which is restarted a few times.
    """

    cards: int = 10
    total_bytes: int = 24 * GIB
    jobs: int = 200
    load: float = 1.5
    foreign_bytes: int = 14 * GIB
    away_s: float = 3600.0
    visit_s: float = 1800.0
    flapping: float = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One drawn lab: jobs by submission, visits by arrival."""

    shape: Shape
    jobs: tuple[LabJob, ...]
    visits: tuple[Visit, ...]

    def unwanted_s(self, until_s: float) -> float:
        """Return the card-seconds before a moment that no visit wants."""
        wanted = sum(
            min(visit.leave_s, until_s) - min(visit.arrive_s, until_s) for visit in self.visits
        )
        return self.shape.cards * until_s - wanted


def draw(seed: int, shape: Shape | None = None) -> Scenario:
    """Return the scenario of a seed."""
    shape = shape or Shape()
    chance = random.Random(seed)
    sizes = [_size(chance, shape.cards) for _ in range(shape.jobs)]
    work = sum(gpus * work_s for gpus, _, work_s in sizes)
    busy = shape.visit_s / (shape.visit_s + shape.away_s) if shape.foreign_bytes else 0.0
    span_s = work / (shape.cards * (1 - busy) * shape.load)
    arrivals = sorted(chance.uniform(0, span_s) for _ in sizes)
    jobs = tuple(
        LabJob(
            name=f"job-{i:03d}",
            user=f"user-{chance.randrange(6)}",
            submitted_s=at,
            gpus=gpus,
            need_bytes=need,
            work_s=work_s,
        )
        for i, (at, (gpus, need, work_s)) in enumerate(zip(arrivals, sizes, strict=True))
    )
    visits = _visits(chance, shape, 4 * span_s) if shape.foreign_bytes else ()
    return Scenario(shape=shape, jobs=jobs, visits=visits)


def _size(chance: random.Random, cards: int) -> tuple[int, int, float]:
    """Draw cards, memory and work of a job: many small, few wide, some long."""
    gpus = min(cards, chance.choices([1, 2, 4], weights=[70, 20, 10])[0])
    need = chance.randint(8 * 1024, 22 * 1024) << 20
    work_s = min(4 * 3600.0, max(180.0, chance.lognormvariate(7.3, 1.0)))
    return gpus, need, round(work_s)


def _visits(chance: random.Random, shape: Shape, until_s: float) -> tuple[Visit, ...]:
    visits: list[Visit] = []
    for card in range(shape.cards):
        at = chance.uniform(0, shape.away_s)
        while at < until_s:
            length = chance.uniform(0.3, 1.7) * shape.visit_s
            for begin, end in _runs(chance, shape, at, at + length):
                visits.append(
                    Visit(
                        card=card,
                        arrive_s=begin,
                        leave_s=end,
                        grow_s=chance.uniform(5, 120),
                        full_bytes=shape.foreign_bytes,
                    )
                )
            at += length + 60 + chance.expovariate(1 / (shape.away_s - 60))
    return tuple(sorted(visits, key=lambda visit: (visit.arrive_s, visit.card)))


def _runs(
    chance: random.Random, shape: Shape, begin: float, end: float
) -> list[tuple[float, float]]:
    """Cut a visit at some points: the script is changed and started again half a minute later."""
    if chance.random() >= shape.flapping:
        return [(begin, end)]
    cuts = sorted(chance.uniform(begin, end) for _ in range(chance.randint(1, 4)))
    edges = [begin, *cuts, end]
    runs = [(a if a == begin else a + chance.uniform(10, 45), b) for a, b in pairwise(edges)]
    return [(a, b) for a, b in runs if b - a > 30]
