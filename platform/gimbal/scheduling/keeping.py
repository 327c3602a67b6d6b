"""Cards kept for a job that is ahead, so that those behind cannot take them one by one.

Kept are cards for a job whose others come free in seconds (their jobs were asked to leave), and for
one that has waited past the starvation bound. The latter only while running jobs and cool-downs
stand between it and its place: for a colleague's process, which may last for days, no card idles.
"""

from __future__ import annotations

from gimbal.scheduling.card import Slot, Standing
from gimbal.scheduling.fitting import need_bytes
from gimbal.scheduling.model import GpuUuid, JobId, Request
from gimbal.scheduling.supply import Supply
from gimbal.scheduling.victims import fits_without

_HOPEFUL = frozenset(
    {Standing.FREE, Standing.KEPT, Standing.LEAVING, Standing.RUNNING, Standing.COOLING}
)


class Keeper:
    """Keeps cards of a supply.

    Args:
        supply: The cluster.
        stopping: Ids of jobs that were asked to leave; shared with whoever asks.
    """

    def __init__(self, supply: Supply, stopping: set[JobId]) -> None:
        self._supply = supply
        self._emptying = False
        self.stopping = stopping

    def missing(self, request: Request, *, free: int) -> int:
        """Return how many cards a job lacks beside those that are free or coming free.

        Args:
            request: The job.
            free: How many whole cards fit it now.
        """
        supply, need = self._supply, need_bytes(request)
        if request.share < 1:
            return 1 if self._coming_share(request) is None else 0
        if not supply.leaving:
            return request.gpus - free
        return request.gpus - free - supply.count(supply.leaving, need, request.avoid)

    def keep_coming(self, request: Request) -> None:
        """Keep what is free and what comes free for a job that lacks nothing else."""
        if request.share == 1:
            kept = self._keep(self._supply.free, request, request.gpus)
            self._keep(self._supply.leaving, request, request.gpus - kept)
            return
        uuid = self._coming_share(request)
        if uuid is not None and self._supply.cards[uuid].standing is Standing.LEAVING:
            self._supply.keep(uuid, request.job_id)
        elif uuid is not None:
            self._supply.close(uuid)

    def keep_for_starving(self, request: Request) -> int:
        """Keep what is free for a job that has waited long, and let shared cards run empty.

        Returns:
            How many cards are kept; 0 too if waiting for its others has no end in sight.
        """
        supply = self._supply
        free = supply.count_free(request)
        if not free and (self._emptying or not supply.shared):
            return 0
        counts, _ = supply.tally(need_bytes(request), request.avoid)
        if sum(counts[standing] for standing in _HOPEFUL) < request.gpus:
            return 0
        if free:
            self._keep(supply.free, request, request.gpus)
        if not self._emptying:
            self._emptying = True
            self._let_run_empty(request, request.gpus - free)
        return free

    def _keep(self, slots: list[Slot], request: Request, most: int) -> int:
        need = need_bytes(request)
        chosen = [s for s in slots if s[0] >= need and s[2] not in request.avoid][:most]
        for _, _, uuid in chosen:
            self._supply.keep(uuid, request.job_id)
        return len(chosen)

    def _let_run_empty(self, request: Request, most: int) -> None:
        """Close the shared cards with the fewest jobs, which are the soonest empty.

        A closed card only ever loses jobs, so the choice settles and one of them does run empty.
        Only the first job that needs it has cards closed: one after the other is soon enough, and
        a backlog of old jobs must not end all sharing.
        """
        need, cards = need_bytes(request), self._supply.cards
        shared = sorted(
            (len(card.holders), card.gpu.node, uuid)
            for _, _, uuid in self._supply.shared
            if (card := cards[uuid]).standing is Standing.RUNNING
            and card.gpu.total_bytes >= need
            and uuid not in request.avoid
        )
        for _, _, uuid in shared[:most]:
            self._supply.close(uuid)

    def _coming_share(self, request: Request) -> GpuUuid | None:
        """Return the card that has room for a share once jobs have left it."""
        for uuid in sorted(self._supply.losing - request.avoid):
            card = self._supply.cards[uuid]
            if card.closed or card.granted_now:
                continue
            if card.standing not in (Standing.LEAVING, Standing.RUNNING):
                continue
            if fits_without(card, request, self._supply, self.stopping):
                return uuid
        return None
