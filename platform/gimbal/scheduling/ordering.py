"""Who is next: priority, then jobs that have waited too long, then fair share, then submission.

Among users the order is not fixed when a decision begins: whoever is given a card goes back in the
line, so that one user's hundred jobs do not all come before another's first.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter

from gimbal.scheduling.fair_share import FairShare
from gimbal.scheduling.model import Request
from gimbal.scheduling.settings import PolicySettings

_AGE = attrgetter("submitted_at")
_ID = attrgetter("job_id")


def in_order(
    queue: Iterable[Request], fair_share: FairShare, *, now: float, settings: PolicySettings
) -> Iterator[Request]:
    """Yield the waiting jobs in their order.

    Args:
        queue: The jobs, in any order.
        fair_share: The users' scores; what is charged to it while the iterator runs counts for
            the jobs that follow.
        now: Unix seconds.
        settings: The starvation bound.
    """
    levels: dict[int, list[Request]] = defaultdict(list)
    for request in queue:
        levels[request.priority].append(request)
    oldest = now - settings.starvation_s
    for priority in sorted(levels, reverse=True):
        level = sorted(levels[priority], key=_ID)
        level.sort(key=_AGE)  # two sorts by one plain key each are faster than one by pairs
        cut = next((i for i, job in enumerate(level) if job.submitted_at > oldest), len(level))
        yield from level[:cut]
        yield from _fairly(level[cut:], fair_share)


def _fairly(by_age: list[Request], fair_share: FairShare) -> Iterator[Request]:
    """Yield jobs of one priority, the user with the smallest score first."""
    of_user: dict[str, list[Request]] = defaultdict(list)
    for request in reversed(by_age):
        of_user[request.user].append(request)
    score = fair_share.score
    line = [
        (score(user), jobs[-1].submitted_at, jobs[-1].job_id, jobs)
        for user, jobs in of_user.items()
    ]
    heapq.heapify(line)
    while line:
        own, _, _, jobs = line[0]
        user, charges = jobs[-1].user, fair_share.charges
        others = min((entry[0] for entry in line[1:3]), default=math.inf)
        yield jobs.pop()
        while jobs and own < others and fair_share.charges == charges:
            yield jobs.pop()
        if jobs:
            following = jobs[-1]
            heapq.heapreplace(line, (score(user), following.submitted_at, following.job_id, jobs))
        else:
            heapq.heappop(line)
