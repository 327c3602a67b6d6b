"""Asks attempts to leave, and ends those that do not.

Deadlines are counted on the monotonic clock from the moment this controller first saw them, so a
wall clock that jumps neither kills a run early nor lets one stay for hours.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from gimbal.errors import StorageError
from gimbal.jobs.attempt_files import write_stop
from gimbal.jobs.controller.events import event
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Attempt, Job, StopWhy


@dataclass(kw_only=True, slots=True)
class _Timer:
    """When an attempt is stopped, on the monotonic clock."""

    expires: float
    cancelled: bool = False
    asked_ray: float | None = None


class Stopper:
    """Carries out cancels and preemptions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timers: dict[str, _Timer] = {}

    def preempt(self, tick: Tick, job: Job, words: str) -> None:
        """Ask a running job to checkpoint and leave for another one.

        Raises:
            Stale: The job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        self._ask(tick, job, StopWhy.PREEMPT, self._world.settings.preempt_deadline_s, words)

    def enforce(self, tick: Tick, job: Job, attempt: Attempt) -> None:
        """Carry on with whatever stop was asked of a running attempt.

        Raises:
            Stale: The job changed meanwhile.
            LaunchUnavailable: Ray does not answer.
            LeaseLost: Another controller took over.
        """
        if job.cancel_requested and attempt.stop_why is None:
            job = self._ask(
                tick, job, StopWhy.CANCEL, self._world.settings.cancel_grace_s, "cancelled"
            )
            attempt = job.attempts[-1]
        if attempt.stop_why is None:
            return
        why = StopWhy.CANCEL if job.cancel_requested else attempt.stop_why
        self._write(job, attempt, why, "")
        timer = self._timer(attempt, cancelled=job.cancel_requested)
        self._end_late(job, attempt, timer)

    def forget_all_but(self, names: frozenset[str]) -> None:
        """Drop the timers of attempts that have ended."""
        self._timers = {name: timer for name, timer in self._timers.items() if name in names}

    def _ask(self, tick: Tick, job: Job, why: StopWhy, seconds: float, words: str) -> Job:
        now = self._world.now()
        asked = self._world.store.ask_to_stop(
            self._world.lease(), job, why=why, now=now, deadline=now + timedelta(seconds=seconds)
        )
        tick.saw(asked)
        attempt = asked.attempts[-1]
        event("asked_to_stop", job=job.id, attempt=attempt.number, why=why.value, words=words)
        self._write(asked, attempt, why, words)
        return asked

    def _write(self, job: Job, attempt: Attempt, why: StopWhy, words: str) -> None:
        """Write the stop file; without it the deadline still ends the attempt."""
        at = attempt.stop_at.timestamp() if attempt.stop_at else self._world.now().timestamp()
        try:
            write_stop(self._world.folder(job, attempt), why, at, words)
        except StorageError as error:
            event("stop_file_unwritten", level=logging.WARNING, job=job.id, words=error.message)

    def _timer(self, attempt: Attempt, *, cancelled: bool) -> _Timer:
        """Return an attempt's timer; a cancel shortens the patience of a preemption."""
        passed = self._world.clock.monotonic()
        timer = self._timers.get(attempt.submission_id)
        if timer is None:
            timer = _Timer(expires=passed + self._left_s(attempt))
            self._timers[attempt.submission_id] = timer
        if cancelled and not timer.cancelled:
            timer.cancelled = True
            timer.expires = min(timer.expires, passed + self._world.settings.cancel_grace_s)
        return timer

    def _left_s(self, attempt: Attempt) -> float:
        """Return what is left of the deadline, never more than was given."""
        if attempt.stop_at is None or attempt.stop_deadline is None:
            return 0.0
        given = (attempt.stop_deadline - attempt.stop_at).total_seconds()
        left = (attempt.stop_deadline - self._world.now()).total_seconds()
        return max(0.0, min(left, given))

    def _end_late(self, job: Job, attempt: Attempt, timer: _Timer) -> None:
        passed = self._world.clock.monotonic()
        if passed < timer.expires:
            return
        again_s = self._world.settings.stop_again_s
        if timer.asked_ray is not None and passed - timer.asked_ray < again_s:
            return
        event(
            "stopping_late_attempt",
            level=logging.WARNING,
            job=job.id,
            attempt=attempt.number,
            why=attempt.stop_why.value if attempt.stop_why else None,
        )
        self._world.launcher.stop(attempt.submission_id)
        timer.asked_ray = passed
