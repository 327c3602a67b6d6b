"""How much of the GPUs each user has had lately.

There is no ledger that could drift: usage is worked out from the attempts themselves. Each second
on a card is halved for every half-life since that very second, so a long job fades second by
second. Attempts that have ended are counted once and then only decay, all alike.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, select

from gimbal.jobs.model import JobState
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import attempts, jobs

_HALF_LIVES = 16
"""What is older counts less than 1/65,000 of what is new, and is not looked at."""
_HELD = select(jobs.c.user_name, attempts.c.gpus, attempts.c.granted_at, attempts.c.ended_at).join(
    jobs, jobs.c.id == attempts.c.job_id
)
_RUNNING = _HELD.where(jobs.c.state == JobState.RUNNING.value, attempts.c.ended_at.is_(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedUsage:
    """GPU-seconds of attempts that have ended, by user.

    Attributes:
        at: The time for which they are decayed.
        half_life_s: With which half-life.
        seq: The last attempt that is counted.
        gpu_s: What each user has had.
    """

    at: datetime
    half_life_s: float
    seq: int = 0
    gpu_s: Mapping[str, float] = field(default_factory=dict)

    def decayed(self, now: datetime) -> EndedUsage:
        """Return the same for a later time."""
        factor = 0.5 ** ((now - self.at).total_seconds() / self.half_life_s)
        return replace(self, at=now, gpu_s={user: had * factor for user, had in self.gpu_s.items()})


class UsageMemory:
    """What was counted before; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: EndedUsage | None = None

    def before(self, now: datetime, half_life_s: float) -> EndedUsage:
        """Return what is known, as of `now`; nothing if the clock was set back."""
        with self._lock:
            known = self._known
        if known is None or known.half_life_s != half_life_s or now < known.at:
            return EndedUsage(at=now, half_life_s=half_life_s)
        return known.decayed(now)

    def remember(self, known: EndedUsage) -> None:
        """Keep what was counted."""
        with self._lock:
            self._known = known


class SqlUsage:
    """The part of `JobStore` about fair share."""

    _db: Database
    _usage: UsageMemory

    def usage_gpu_s(self, *, now: datetime, half_life_s: float) -> Mapping[str, float]:
        """Return each user's decayed GPU-seconds, those of running attempts included."""
        before = self._usage.before(now, half_life_s)

        def work(connection: Connection) -> tuple[EndedUsage, dict[str, float]]:
            last = connection.execute(select(func.max(attempts.c.ended_seq))).scalar_one() or 0
            ended = _had(connection, _newly_ended(before), now, half_life_s)
            known = replace(before, seq=last, gpu_s=_sum(before.gpu_s, ended))
            return known, _had(connection, _RUNNING, now, half_life_s)

        known, running = self._db.read(work)
        self._usage.remember(known)
        return {user: had for user, had in _sum(known.gpu_s, running).items() if had > 0}


def decayed_s(start_s: float, end_s: float, half_life_s: float) -> float:
    """Return the seconds between two ages, halved for every half-life since each of them.

    Args:
        start_s: Age of the beginning; the larger one.
        end_s: Age of the end; 0: it lasts.
        half_life_s: Age at which a second counts half.
    """
    rate = math.log(2) / half_life_s
    return max(0.0, (math.exp(-rate * end_s) - math.exp(-rate * start_s)) / rate)


def _newly_ended(before: EndedUsage) -> Select[Any]:
    query = _HELD.where(attempts.c.gpus > 0, attempts.c.ended_at.is_not(None))
    if before.seq:
        return query.where(attempts.c.ended_seq > before.seq)
    oldest = before.at - timedelta(seconds=_HALF_LIVES * before.half_life_s)
    return query.where(attempts.c.ended_at >= oldest)


def _had(
    connection: Connection, query: Select[Any], now: datetime, half_life_s: float
) -> dict[str, float]:
    had: dict[str, float] = {}
    for user, gpus, granted_at, ended_at in connection.execute(query):
        start_s = (now - granted_at).total_seconds()
        end_s = 0.0 if ended_at is None else (now - ended_at).total_seconds()
        had[user] = had.get(user, 0.0) + gpus * decayed_s(start_s, end_s, half_life_s)
    return had


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {user: one.get(user, 0.0) + other.get(user, 0.0) for user in {**one, **other}}
