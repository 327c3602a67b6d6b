"""When jobs are asked to make room for one of higher priority."""

from __future__ import annotations

from bisect import bisect_left

from gimbal.scheduling.fitting import need_bytes
from gimbal.scheduling.keeping import Keeper
from gimbal.scheduling.model import Request, Running, Snapshot
from gimbal.scheduling.settings import PolicySettings
from gimbal.scheduling.supply import Supply
from gimbal.scheduling.victims import Candidates, harm_of, victims


class Preemptor:
    """Asks jobs to leave, within one decision.

    Args:
        snapshot: The running jobs.
        supply: The cluster.
        keeper: Who knows what comes free already; ids of asked jobs are added to its `stopping`.
        now: Unix seconds.
        settings: Whether, from which gap and how many at once.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        supply: Supply,
        keeper: Keeper,
        *,
        now: float,
        settings: PolicySettings,
    ) -> None:
        self._supply, self._keeper, self._settings = supply, keeper, settings
        self._may_leave = [
            job
            for job in snapshot.running
            if not job.stopping
            and job.grants
            and now - job.started_at >= settings.preemption_min_runtime_s
        ]
        self._below: dict[int, tuple[Candidates, list[int]]] = {}
        self._asked = 0

    def ask(self, request: Request, *, missing: int) -> tuple[Running, ...]:
        """Return the jobs that are asked to leave for a job that does not fit.

        Nobody is asked if it would not help, or after too many were. Those that are asked count as
        leaving from now on.

        Args:
            request: The job.
            missing: Cards it lacks beside those that are free or coming free.
        """
        if not self._settings.preemption or self._asked >= self._settings.preemptions_at_once:
            return ()
        candidates, capacities = self._of_lower_priority(request.priority)
        if len(capacities) - bisect_left(capacities, need_bytes(request)) < missing:
            return ()
        stopping = self._keeper.stopping
        leaving = victims(request, self._supply, candidates, stopping=stopping, missing=missing)
        self._asked += len(leaving)
        stopping.update(job.job_id for job in leaving)
        self._supply.ask_to_leave(leaving, stopping)
        return leaving

    def _of_lower_priority(self, priority: int) -> tuple[Candidates, list[int]]:
        """Return whom a job may ask, and how much each of their cards can take, sorted."""
        if priority not in self._below:
            highest = priority - self._settings.preemption_gap
            jobs = {job.job_id: job for job in self._may_leave if job.priority <= highest}
            known = self._supply.cards
            held = {g.uuid for job in jobs.values() for g in job.grants if g.uuid in known}
            cards = [known[uuid] for uuid in sorted(held)]
            capacities = sorted(card.capacity_bytes for card in cards)
            harms = {job_id: harm_of(job) for job_id, job in jobs.items()}
            self._below[priority] = Candidates(jobs, harms, cards), capacities
        return self._below[priority]
