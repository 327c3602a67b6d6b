"""Who gets which cards now, who waits and why, and who is asked to leave.

Pure: hysteresis is in the snapshot, memory of the past in its times. Jobs are looked at in order
and each takes what it needs from the supply; a job that does not fit is gone around, unless it has
waited past the starvation bound or cards are coming free for it: then the cards it would use are
kept. What a shape of job was told is remembered, so that ten thousand alike cost as much as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gimbal.scheduling.fair_share import UNITS, FairShare, share_units
from gimbal.scheduling.fitting import Fitter, need_bytes
from gimbal.scheduling.keeping import Keeper
from gimbal.scheduling.model import (
    Decision,
    GpuUuid,
    Grant,
    Place,
    Preempt,
    Request,
    Running,
    Snapshot,
    Wait,
    WaitReason,
)
from gimbal.scheduling.ordering import in_order
from gimbal.scheduling.preempting import Preemptor
from gimbal.scheduling.settings import PolicySettings
from gimbal.scheduling.supply import Supply
from gimbal.scheduling.waiting import Explainer, Verdict, never_fits, wanted
from gimbal.scheduling.wording import cards, clock

_Shape = tuple[int, int | None, float, frozenset[GpuUuid]]


def decide(snapshot: Snapshot, *, now: float, settings: PolicySettings) -> tuple[Decision, ...]:
    """Decide for every job in the queue, and whom to ask to leave.

    Args:
        snapshot: The cluster and the queue; the order of its parts does not matter.
        now: Unix seconds.
        settings: What the lab chose.

    Returns:
        One `Place` or `Wait` for each waiting job, in the order they were looked at, and before a
        job's `Wait` the `Preempt` of every job that is asked to leave for it.
    """
    round_ = _Round(snapshot, now=now, settings=settings)
    round_.decide_all(in_order(snapshot.queue, round_.fair_share, now=now, settings=settings))
    return tuple(round_.decisions)


class _Round:
    """One decision in the making."""

    def __init__(self, snapshot: Snapshot, *, now: float, settings: PolicySettings) -> None:
        self.decisions: list[Decision] = []
        self.fair_share = FairShare(snapshot, settings)
        self._now, self._settings = now, settings
        self._limited = settings.user_gpu_quota is not None
        self._starving_before = now - settings.starvation_s
        supply = self._supply = Supply(snapshot, settings)
        self._fitter = Fitter(supply)
        self._explainer = Explainer(supply, settings)
        stopping = {job.job_id for job in snapshot.running if job.stopping}
        self._keeper = Keeper(supply, stopping)
        self._preemptor = Preemptor(snapshot, supply, self._keeper, now=now, settings=settings)
        without = sum(not job.grants for job in snapshot.running)
        self._slots = settings.max_jobs_without_gpus - without
        self._told: dict[_Shape, _Told] = {}
        self._hopeless: dict[tuple[int, int], int] = {}

    def decide_all(self, line: Iterable[Request]) -> None:
        """Decide for every job of a line."""
        told, append = self._told, self.decisions.append
        now, starving_before, limited = self._now, self._starving_before, self._limited
        for request in line:
            shape = (request.gpus, request.memory_bytes, request.share, request.avoid)
            known = told.get(shape)
            verdict: Verdict | None
            if request.not_before > now:
                detail = f"starts again not before {clock(request.not_before)}"
                verdict = WaitReason.BACKOFF, detail
            elif known is not None and (known.final or request.submitted_at > starving_before):
                verdict = (self._over_quota(request) if limited else None) or known.verdict
            elif request.gpus == 0:
                verdict = self._without_gpus(request)
            else:
                verdict = self._with_gpus(request, shape)
            if verdict is not None:
                append(Wait(request.job_id, verdict[0], verdict[1]))

    def _without_gpus(self, request: Request) -> Verdict | None:
        """Place a job that needs no card, or say why it waits."""
        if self._slots <= 0:
            limit = self._settings.max_jobs_without_gpus
            detail = f"needs no card; {limit} jobs without one may run at once, and do"
            return WaitReason.SLOT, detail
        self._slots -= 1
        self.decisions.append(Place(job_id=request.job_id, grants=(), reason="needs no card"))
        return None

    def _with_gpus(self, request: Request, shape: _Shape) -> Verdict | None:
        """Place a job that needs cards, or say why it waits."""
        limited = self._over_quota(request) if self._limited else None
        if limited is not None:
            return limited
        free = self._supply.count_free(request)
        known = self._told.get(shape)
        if known is None and not self._is_hopeless(request):
            never = never_fits(request, self._supply, self._settings)
            if never is not None:
                return self._tell(shape, never, final=True)
            grants = self._fitter.take(request, free=free)
            if grants is not None:
                self._place(request, grants)
                return None
            room = self._make_room(request, free=free)
            if room is not None:
                return room
            self._give_up(request)
        told = known.verdict if known else self._explainer.verdict(request, free=free)
        if request.submitted_at <= self._starving_before:
            return self._starve(request, shape, told)
        return self._tell(shape, told, final=False)

    def _tell(self, shape: _Shape, verdict: Verdict, *, final: bool) -> Verdict:
        self._told[shape] = _Told(verdict, final)
        return verdict

    def _is_hopeless(self, request: Request) -> bool:
        """Return whether a job that asked for no more than this one did not fit."""
        if request.share < 1 or request.avoid:
            return False
        need = need_bytes(request)
        least = self._hopeless.get((request.gpus, self._supply.size_class(need)))
        return least is not None and need >= least

    def _give_up(self, request: Request) -> None:
        """Remember that a job did not fit: cards are only ever used up during a decision."""
        if request.share == 1 and not request.avoid:
            need = need_bytes(request)
            key = (request.gpus, self._supply.size_class(need))
            self._hopeless[key] = min(need, self._hopeless.get(key, need))

    def _over_quota(self, request: Request) -> Verdict | None:
        quota = self._settings.user_gpu_quota or 0.0
        held = self.fair_share.held.get(request.user, 0)
        if held + request.gpus * share_units(request.share) <= quota * UNITS:
            return None
        return WaitReason.QUOTA, (
            f"needs {wanted(request)}; {request.user} holds {held / UNITS:g} of at most {quota:g}"
        )

    def _place(self, request: Request, grants: tuple[Grant, ...]) -> None:
        self.fair_share.charge(request.user, len(grants) * share_units(request.share))
        label = self._supply.cards[grants[0].uuid].gpu.label
        more = f" and {request.gpus - 1} more" if request.gpus > 1 else ""
        reason = f"needs {wanted(request)}; the smallest that fit now: {label}{more}"
        self.decisions.append(Place(job_id=request.job_id, grants=grants, reason=reason))

    def _make_room(self, request: Request, *, free: int) -> Verdict | None:
        """Wait for jobs that were asked to leave, or ask some now; None: that does not help."""
        missing = self._keeper.missing(request, free=free)
        if missing > 0:
            leaving = self._preemptor.ask(request, missing=missing)
            if not leaving:
                return None
            self.decisions.extend(_preempt(job, request) for job in leaving)
        self._keeper.keep_coming(request)
        detail = f"needs {wanted(request)}; jobs were asked to leave, their cards are kept for it"
        return WaitReason.PREEMPTING, detail

    def _starve(self, request: Request, shape: _Shape, told: Verdict) -> Verdict:
        """Keep what is free for a job that has waited long; return what it is told then."""
        kept = self._keeper.keep_for_starving(request)
        if not kept:
            return self._tell(shape, told, final=True)
        # Whoever asks for the same is told anew: the cards are kept now.
        self._told.pop(shape, None)
        return told[0], f"{told[1]}; {cards(kept)} kept for it, as it has waited long"


@dataclass(frozen=True, slots=True)
class _Told:
    """What jobs of a shape are told; final: also those that have waited long."""

    verdict: Verdict
    final: bool


def _preempt(job: Running, request: Request) -> Preempt:
    reason = f"{request.job_id} of {request.user} has priority {request.priority}"
    return Preempt(
        job_id=job.job_id,
        for_job=request.job_id,
        reason=f"{reason}, this job {job.priority}",
    )
