"""Jobs as the policy sees them: what a waiting one asks for, what a running one holds."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from gimbal.jobs.model import Attempt, Job, JobSpec
from gimbal.scheduling.card import capacity_bytes, shared_capacity_bytes
from gimbal.scheduling.model import Condition, Gpu, Request, Running
from gimbal.scheduling.settings import PolicySettings

_CLEAN = (Condition.FREE, Condition.OURS)
"""Cards with nobody else on them: what they can give is what there is to be had."""


def request_of(job: Job, memory_bytes: int | None, now: datetime) -> Request:
    """Return what a waiting job asks for.

    Waits that were counted from a moment still to come are over: they were written before the clock
    was set back, and could last for hours.

    Args:
        job: The job.
        memory_bytes: What to admit it with, see `needed_bytes`.
        now: Cards it avoids only until earlier are not avoided any more.
    """
    last = job.attempts[-1].ended_at if job.attempts else None
    counts = last is None or last <= now
    return Request(
        job_id=job.id,
        user=job.spec.user,
        priority=job.spec.priority,
        submitted_at=job.submitted_at.timestamp(),
        gpus=job.spec.gpus,
        share=job.spec.share,
        memory_bytes=memory_bytes,
        not_before=job.not_before.timestamp() if job.not_before and counts else 0.0,
        avoid=frozenset(uuid for uuid, until in job.avoid.items() if until > now and counts),
    )


def running_of(job: Job, attempt: Attempt) -> Running:
    """Return what a job holds, from the moment its cards were granted."""
    return Running(
        job_id=job.id,
        user=job.spec.user,
        priority=job.spec.priority,
        started_at=attempt.granted_at.timestamp(),
        grants=attempt.grants,
        stopping=attempt.stop_why is not None or job.cancel_requested,
    )


class Rooms:
    """The largest needs that cards can meet, by kind of card; made once for many jobs.

    Args:
        gpus: Every card of the cluster.
        policy: The margin beside a need.
    """

    def __init__(self, gpus: Sequence[Gpu], policy: PolicySettings) -> None:
        self._kinds = sorted({(gpu.total_bytes, gpu.name) for gpu in gpus})
        self._whole: dict[str, list[int]] = defaultdict(list)
        self._shared: dict[str, list[int]] = defaultdict(list)
        for gpu in gpus:
            if gpu.condition in _CLEAN:
                self._whole[gpu.name].append(capacity_bytes(gpu, policy))
                self._shared[gpu.name].append(shared_capacity_bytes(gpu, policy))
        for rooms in (*self._whole.values(), *self._shared.values()):
            rooms.sort()

    def most_bytes(self, peak_bytes: int, margin: float, *, shared: bool) -> int | None:
        """Return the most that may be asked of a card for a measured peak; None: no limit is known.

        A peak is taken to be of the smallest kind of card that is large enough for it. The least
        that still covers the peak is the limit: a card that offers it is never passed over for the
        sake of the margin. Where no clean card covers it, the best one has to do: torch's cache
        fills what there is, and another neighbour of some MiB must not stop a job for ever.

        Args:
            peak_bytes: The peak.
            margin: Factor on it; a peak above every card by less than that is one of the largest,
                since a CUDA context is measured only roughly.
            shared: Whether a share of a card is wanted, which leaves the policy's margin free.
        """
        place = bisect_left(self._kinds, (peak_bytes, ""))
        if place == len(self._kinds):
            if not self._kinds or self._kinds[-1][0] * margin < peak_bytes:
                return None
            place -= 1
        total, name = self._kinds[place]
        rooms = (self._shared if shared else self._whole).get(name)
        if not rooms:
            return total
        enough = bisect_left(rooms, peak_bytes)
        return rooms[min(enough, len(rooms) - 1)]


def needed_bytes(spec: JobSpec, peak_bytes: int, margin: float, rooms: Rooms) -> int | None:
    """Return what to admit a job with; None: nothing is known.

    A margin is added to a measured peak, but never beyond what a clean card of its kind can give:
    what ran there once fits there again. Only what its user stated is asked for in any case.

    Args:
        spec: The job's.
        peak_bytes: The most a job like it was measured to hold; 0: none was.
        margin: Factor on the peak.
        rooms: What the cards can give.
    """
    if not peak_bytes:
        return spec.memory_bytes
    wanted = int(peak_bytes * margin)
    most = rooms.most_bytes(peak_bytes, margin, shared=spec.share < 1)
    measured = wanted if most is None else min(wanted, most)
    return max(measured, spec.memory_bytes or 0)
