"""Writes why jobs wait, without writing every tick's countdown of thousands of them."""

from __future__ import annotations

from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Job, JobState
from gimbal.scheduling.model import JobId


class WaitNotes:
    """Writes reasons at once and changed sentences now and then, a bounded number each tick."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._written: dict[JobId, float] = {}
        self._left = 0

    def begin(self, tick: Tick) -> None:
        """Start a tick: nothing is written yet, and jobs that wait no longer are forgotten."""
        self._left = self._world.settings.wait_notes_per_tick
        self._written = {job: at for job, at in self._written.items() if job in tick.jobs}

    def note(self, tick: Tick, job: Job, reason: str, detail: str) -> None:
        """Record why a job waits, if that is news.

        Raises:
            Stale: The job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        if (job.reason, job.detail) == (reason, detail) or self._left <= 0:
            return
        passed = self._world.clock.monotonic()
        last = self._written.get(job.id)
        recent = last is not None and passed - last < self._world.settings.wait_note_s
        if job.reason == reason and recent:
            return
        self._left -= 1
        self._written[job.id] = passed
        noted = self._world.store.note_wait(self._world.lease(), job, reason=reason, detail=detail)
        tick.saw(noted)

    def everybody(self, tick: Tick, reason: str, detail: str) -> None:
        """Record one reason for every waiting job.

        Raises:
            Stale: A job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        for job in list(tick.jobs.values()):
            if job.state is JobState.PENDING:
                self.note(tick, job, reason, detail)
