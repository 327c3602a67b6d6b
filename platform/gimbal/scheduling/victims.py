"""Whom to ask to leave for a job of higher priority: as few jobs as can be, and only if it helps.

A card counts only if it would be free afterwards: one that a foreign process has entered as well
would not be, so nobody is asked to leave it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from gimbal.scheduling.card import Card, Standing
from gimbal.scheduling.fair_share import UNITS, share_units
from gimbal.scheduling.fitting import need_bytes
from gimbal.scheduling.model import Condition, GpuUuid, JobId, Request, Running
from gimbal.scheduling.supply import Supply

Harm = tuple[int, int, float, JobId]
"""Highest priority, cards, minus the start of the oldest, a name: the smallest leaves first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Jobs that may be asked to leave, what that would cost, and the cards they hold."""

    jobs: dict[JobId, Running]
    harms: dict[JobId, Harm]
    cards: list[Card]


@dataclass(slots=True)
class _Unit:
    """Jobs that have to leave together for some cards to come free."""

    jobs: tuple[Running, ...]
    gain: int
    harm: Harm


def victims(
    request: Request,
    supply: Supply,
    candidates: Candidates,
    *,
    stopping: set[JobId],
    missing: int,
) -> tuple[Running, ...]:
    """Return the jobs that should leave, or none if that would not suffice.

    Args:
        request: The job that needs cards.
        supply: The cluster.
        candidates: Jobs that may be asked.
        stopping: Ids of jobs that were asked already.
        missing: Cards it lacks beside those that are free or coming free.

    Returns:
        The fewest jobs; among equals those of the lowest priority, then those that hold the fewest
        cards, then the youngest.
    """
    if request.share < 1:
        return _for_share(request, supply, candidates, stopping)
    return _cover(_units(request, candidates, stopping), missing)


def _units(request: Request, candidates: Candidates, stopping: set[JobId]) -> list[_Unit]:
    alone: dict[JobId, int] = defaultdict(int)
    together: list[_Unit] = []
    need, jobs, running = need_bytes(request), candidates.jobs, Standing.RUNNING
    for card in candidates.cards:
        if card.capacity_bytes < need or card.standing is not running or not _helps(card, request):
            continue
        staying = card.holders
        if stopping and len(staying) > 1:
            staying = [job for job in staying if job.job_id not in stopping]
        if len(staying) == 1:
            job_id = staying[0].job_id
            if job_id in jobs and job_id not in stopping:
                alone[job_id] += 1
        elif staying and all(job.job_id in jobs for job in staying):
            staying = list(staying)
            staying.sort(key=lambda job: job.job_id)
            together.append(_Unit(tuple(staying), 1, _harm(staying)))
    return [
        _Unit((jobs[job_id],), gain, candidates.harms[job_id]) for job_id, gain in alone.items()
    ] + together


def _helps(card: Card, request: Request) -> bool:
    return (
        card.standing is Standing.RUNNING
        and card.gpu.condition is not Condition.COOLING
        and not card.granted_now
        and not card.closed
        and card.gpu.uuid not in request.avoid
    )


def _cover(units: list[_Unit], missing: int) -> tuple[Running, ...]:
    """Choose units that give the missing cards, with the fewest jobs.

    A job with a card of its own costs one and gives one or more; a shared card costs several jobs
    and gives one. So the fewest are had by the largest gains first, and the preference only decides
    where as few remain possible.
    """
    if sum(unit.gain for unit in units) < missing:
        return ()
    units = sorted(units, key=lambda unit: (len(unit.jobs), -unit.gain))
    least, gained = 0, 0
    while gained < missing:
        gained += units[least].gain
        least += 1
    size = len(units[least - 1].jobs)
    smaller = [unit for unit in units if len(unit.jobs) < size]
    equal = [unit for unit in units if len(unit.jobs) == size]
    missing -= sum(unit.gain for unit in smaller)
    chosen = smaller + _preferred(equal, missing, least - len(smaller))
    return tuple(job for unit in chosen for job in unit.jobs)


def _preferred(units: list[_Unit], missing: int, count: int) -> list[_Unit]:
    """Choose `count` units that give the missing cards, the ones that hurt least first.

    One pass suffices: what is too small for the rest to make up for stays too small.

    Args:
        units: Units of equal size, the largest gain first.
        missing: Cards needed of them.
        count: The fewest that suffice.
    """
    chosen: list[_Unit] = []
    gains = [unit.gain for unit in units]
    for unit in sorted(units, key=attrgetter("harm")):
        more = count - len(chosen)
        best_with_it = unit.gain + sum(gains[:more]) - max(unit.gain, gains[more - 1])
        if best_with_it < missing:
            continue
        chosen.append(unit)
        if len(chosen) == count:
            break
        missing -= unit.gain
        gains.remove(unit.gain)
    return chosen


def harm_of(job: Running) -> Harm:
    """Return what it costs that a job leaves."""
    return (job.priority, len(job.grants), -job.started_at, job.job_id)


def _harm(jobs: Sequence[Running]) -> Harm:
    return (
        max(job.priority for job in jobs),
        sum(len(job.grants) for job in jobs),
        -min(job.started_at for job in jobs),
        jobs[0].job_id,
    )


def _for_share(
    request: Request, supply: Supply, candidates: Candidates, stopping: set[JobId]
) -> tuple[Running, ...]:
    """Return the jobs that have to leave one card for a share of it."""
    found: list[tuple[int, Harm, GpuUuid, list[Running]]] = []
    for card in candidates.cards:
        if not _helps(card, request):
            continue
        may = [job for job in card.holders if job.job_id in candidates.jobs]
        leaving = _until_it_fits(card, request, supply, may, stopping)
        if leaving:
            found.append((len(leaving), _harm(leaving), card.gpu.uuid, leaving))
    return tuple(min(found)[3]) if found else ()


def _until_it_fits(
    card: Card,
    request: Request,
    supply: Supply,
    may: list[Running],
    stopping: set[JobId],
) -> list[Running] | None:
    gone = set(stopping)
    leaving: list[Running] = []
    for job in sorted(may, key=harm_of):
        if job.job_id in stopping:
            continue
        leaving.append(job)
        gone.add(job.job_id)
        if fits_without(card, request, supply, gone):
            return leaving
    return None


def fits_without(card: Card, request: Request, supply: Supply, gone: set[JobId]) -> bool:
    """Return whether a share would fit on a card once some jobs have left it."""
    units, committed = 0, 0
    for job in card.holders:
        if job.job_id in gone:
            continue
        for grant in job.grants:
            if grant.uuid == card.gpu.uuid:
                units += UNITS if grant.memory_bytes is None else share_units(grant.share)
                committed += grant.memory_bytes or 0
    room = supply.empty_room_bytes(card) - committed
    return units + share_units(request.share) <= UNITS and room >= need_bytes(request)
