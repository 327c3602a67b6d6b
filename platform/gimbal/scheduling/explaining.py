"""Why a job waits, for a person: one sentence for the job, one for each card.

The verdict is the policy's own: the job is decided about together with the whole queue, so an
explanation never says anything else than what happens. What the sentence of a card says is what
stands between this job and this card alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gimbal.scheduling.card import Card, Standing
from gimbal.scheduling.fair_share import UNITS, FairShare, share_units
from gimbal.scheduling.fitting import need_bytes
from gimbal.scheduling.model import (
    Condition,
    Gpu,
    JobId,
    Place,
    Request,
    Running,
    Snapshot,
    Wait,
    WaitReason,
)
from gimbal.scheduling.ordering import in_order
from gimbal.scheduling.policy import decide
from gimbal.scheduling.settings import PolicySettings
from gimbal.scheduling.supply import Supply
from gimbal.scheduling.waiting import malformed
from gimbal.scheduling.wording import gib

_NAMED = 3
"""So many jobs that are ahead are named; the rest is a number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a job waits, or that it does not.

    Attributes:
        job_id: The job.
        headline: What it needs and why it does not run, in one sentence.
        reason: The code of that; None if it would start now.
        position: Its place in the queue, from 1.
        ahead: Jobs that are ahead of it, the first first.
        line: Its place in the queue in one sentence.
        gpus: One sentence for each card, by node and index.
    """

    job_id: JobId
    headline: str
    reason: WaitReason | None
    position: int
    ahead: tuple[JobId, ...]
    line: str
    gpus: tuple[str, ...]


def explain(
    job: Request, snapshot: Snapshot, *, now: float, settings: PolicySettings
) -> Explanation:
    """Explain what a job waits for.

    Args:
        job: The job; it need not be in the snapshot's queue.
        snapshot: The cluster and the queue.
        now: Unix seconds.
        settings: What the lab chose.
    """
    others = tuple(request for request in snapshot.queue if request.job_id != job.job_id)
    snapshot = replace(snapshot, queue=(*others, job))
    decision = next(
        d
        for d in decide(snapshot, now=now, settings=settings)
        if d.job_id == job.job_id and isinstance(d, Place | Wait)
    )
    fair_share = FairShare(snapshot, settings)
    line = list(in_order(snapshot.queue, fair_share, now=now, settings=settings))
    position = next(i for i, request in enumerate(line) if request.job_id == job.job_id)
    return Explanation(
        job_id=job.job_id,
        headline=_headline(decision),
        reason=decision.reason if isinstance(decision, Wait) else None,
        position=position + 1,
        ahead=tuple(request.job_id for request in line[:position]),
        line=_line(line, position),
        gpus=_per_card(job, snapshot, settings) if job.gpus else (),
    )


def _headline(decision: Place | Wait) -> str:
    if isinstance(decision, Wait):
        return decision.detail
    return f"starts now: {decision.reason}"


def _line(line: Sequence[Request], position: int) -> str:
    if position == 0:
        return f"first of {len(line)} in the queue"
    named = [
        f"{request.job_id} of {request.user} (priority {request.priority})"
        for request in line[: min(position, _NAMED)]
    ]
    rest = position - len(named)
    more = f" and {rest} more" if rest else ""
    return f"number {position + 1} of {len(line)} in the queue, behind {', '.join(named)}{more}"


def _per_card(job: Request, snapshot: Snapshot, settings: PolicySettings) -> tuple[str, ...]:
    supply = Supply(snapshot, settings)
    cards = sorted(supply.cards.values(), key=lambda card: (card.gpu.node, card.gpu.index))
    return tuple(f"{card.gpu.label} {_sentence(job, card, supply)}" for card in cards)


def _sentence(job: Request, card: Card, supply: Supply) -> str:
    gpu = card.gpu
    if gpu.uuid in job.avoid:
        return "is avoided for a while: the job failed on it lately"
    if card.standing is Standing.FREE:
        return _free(job, card, supply)
    if card.standing in (Standing.RUNNING, Standing.LEAVING):
        return _ours(job, card, supply)
    if card.standing is Standing.COOLING:
        return f"is clean, {gpu.note or f'counts as free in {gpu.cooling_s:.0f} s'}"
    if card.standing is Standing.FOREIGN:
        return _foreign(gpu)
    if card.standing is Standing.HELD:
        return f"is held: {gpu.note}" if gpu.note else "is held by a person"
    if card.standing is Standing.OTHER_OWN:
        who = f": {gpu.note}" if gpu.note else ""
        return f"is used by Ray work outside the job service{who}; {_of_total(gpu.own_bytes, gpu)}"
    state = "is faulty" if gpu.condition is Condition.FAULTY else "is unknown"
    return f"{state}: {gpu.note}" if gpu.note else state


def _of_total(size_bytes: int, gpu: Gpu) -> str:
    return f"{gib(size_bytes)} of {gib(gpu.total_bytes)}"


def _foreign(gpu: Gpu) -> str:
    who = gpu.note or "somebody else's memory is on it"
    return f"is taken: {who}; {_of_total(gpu.foreign_bytes, gpu)} are not ours"


def _free(job: Request, card: Card, supply: Supply) -> str:
    if malformed(job):
        return "is free"
    need = need_bytes(job)
    has = supply.room_bytes(card) if job.share < 1 else card.capacity_bytes
    if has >= need:
        return "fits"
    if card.gpu.foreign_bytes > 0 and card.gpu.total_bytes >= need:
        margin = job.share < 1 or supply.takes_margin(card)
        return (
            f"is free but short of room: {gib(need)} needed, {gib(max(0, has))} left beside "
            f"{gib(card.gpu.foreign_bytes)} of others{' and the margin' if margin else ''}"
        )
    return f"is free but too small: {gib(need)} needed, {gib(max(0, has))} can be given"


def _ours(job: Request, card: Card, supply: Supply) -> str:
    who = ", ".join(_named(holder) for holder in card.holders)
    leaving = ", which was asked to leave" if card.standing is Standing.LEAVING else ""
    if not card.open:
        return f"runs {who}{leaving}"
    if job.share < 1 and not malformed(job):
        left = UNITS - card.units
        if left >= share_units(job.share) and card.room_bytes >= need_bytes(job):
            return f"fits beside {who}"
        return (
            f"is shared by {who}: a share of {left / UNITS:g} with "
            f"{gib(max(0, card.room_bytes))} is left"
        )
    return f"is shared by {who}{leaving}"


def _named(job: Running) -> str:
    return f"{job.job_id} of {job.user}"
