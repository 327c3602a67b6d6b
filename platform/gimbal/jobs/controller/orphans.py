"""Finds what Ray still has of ended attempts: reservations and drivers nobody owns any more.

Only attempts of jobs in this store are touched. Another service's attempts on the same Ray have
jobs this store does not know, and are left alone.
"""

from __future__ import annotations

import logging

from gimbal.jobs.controller.events import event
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import JobNotFound
from gimbal.jobs.submission import parse_submission_id

_FORGET_PER_TICK = 20
"""Entries of ended attempts taken off Ray's list in one tick: each is a request."""


class Orphans:
    """Lets go of what ended attempts left behind."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._strangers: set[str] = set()

    def clear(self, tick: Tick) -> None:
        """Free orphaned reservations, stop orphaned drivers, shorten Ray's list.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        active = {
            job.current.submission_id for job in tick.jobs.values() if job.current is not None
        }
        for name in self._world.warden.reservations():
            if name not in active and self._ours(name):
                event("orphan_reservation_freed", level=logging.WARNING, submission_id=name)
                self._world.warden.free(name)
        for name, report in tick.reports.items():
            if name not in active and not report.status.is_terminal and self._ours(name):
                event("orphan_driver_stopped", level=logging.WARNING, submission_id=name)
                self._world.launcher.stop(name)
        self._shorten(tick, active)

    def _shorten(self, tick: Tick, active: set[str]) -> None:
        ended = [
            name
            for name, report in tick.reports.items()
            if report.status.is_terminal and name not in active and name not in self._strangers
        ]
        excess = len(ended) - self._world.settings.ray_jobs_kept
        for name in ended[: max(0, min(excess, _FORGET_PER_TICK))]:
            if self._ours(name):
                self._world.launcher.forget(name)

    def _ours(self, name: str) -> bool:
        """Return whether the attempt's job is in this store."""
        if name in self._strangers:
            return False
        parsed = parse_submission_id(name)
        try:
            known = parsed is not None and self._world.store.get(parsed[0]) is not None
        except JobNotFound:
            known = False
        if not known:
            self._strangers.add(name)
            event("attempt_of_another_service", submission_id=name)
        return known
