"""How much of the GPUs each user has had lately.

There is no ledger that could drift: usage is worked out from the attempts themselves. Decay is the
integral of a half-life over the time cards were held, so a long job fades second by second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from gimbal.jobs.model import AttemptPhase
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import attempts, jobs

_HALF_LIVES = 16
"""What is older counts less than 1/65,000 of what is new, and is not looked at."""


def decayed_s(start_s: float, end_s: float, half_life_s: float) -> float:
    """Return the seconds between two ages, halved for every half-life passed since.

    Args:
        start_s: Age of the beginning; the larger one.
        end_s: Age of the end; 0: it lasts.
        half_life_s: Age at which a second counts half.
    """
    rate = math.log(2) / half_life_s
    return (math.exp(-rate * max(end_s, 0.0)) - math.exp(-rate * max(start_s, 0.0))) / rate


class SqlUsage:
    """The part of `JobStore` about fair share."""

    _db: Database

    def usage_gpu_s(self, *, now: datetime, half_life_s: float) -> Mapping[str, float]:
        """Return each user's decayed GPU-seconds, running attempts included."""
        oldest = now - timedelta(seconds=_HALF_LIVES * half_life_s)
        columns = (
            jobs.c.user_name,
            attempts.c.gpus,
            attempts.c.granted_at,
            attempts.c.ended_at,
        )
        joined = select(*columns).join(jobs, jobs.c.id == attempts.c.job_id)
        running = joined.where(
            jobs.c.state == "RUNNING", attempts.c.phase != AttemptPhase.ENDED.value
        )
        recent = joined.where(attempts.c.ended_at >= oldest, attempts.c.gpus > 0)

        def work(connection: Connection) -> dict[str, float]:
            usage: dict[str, float] = {}
            for query in (running, recent):
                for user, gpus, granted_at, ended_at in connection.execute(query):
                    start_s = (now - granted_at).total_seconds()
                    end_s = (now - (ended_at or now)).total_seconds()
                    had = gpus * decayed_s(start_s, end_s, half_life_s)
                    usage[user] = usage.get(user, 0.0) + had
            return usage

        return self._db.read(work)
