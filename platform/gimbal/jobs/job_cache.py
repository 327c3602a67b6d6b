"""Jobs that were read already, so that a listing need not parse the same configs again and again.

A job's version counts every change of it and of its attempts, so a record of the same version is
the same record, whichever process changed it. Each read still asks the database for the versions.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from gimbal.jobs.model import Job
from gimbal.scheduling.model import JobId

_ROOM = 2_000
"""Jobs beside the active ones: forty pages; a config takes some ten kilobytes."""


class JobCache:
    """Records by id and version; safe to use from many threads."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._recent: OrderedDict[JobId, Job] = OrderedDict()
        self._active: dict[JobId, Job] = {}

    def find(self, job_id: JobId, version: int) -> Job | None:
        """Return a job of exactly this version, if it is here."""
        with self._lock:
            job = self._active.get(job_id)
            if job is None or job.version != version:
                job = self._recent.get(job_id)
            return job if job is not None and job.version == version else None

    def add(self, jobs: Iterable[Job]) -> None:
        """Keep jobs that were read; the longest kept give way."""
        with self._lock:
            for job in jobs:
                self._recent[job.id] = job
                self._recent.move_to_end(job.id)
            while len(self._recent) > self._room:
                self._recent.popitem(last=False)

    def set_active(self, jobs: Iterable[Job]) -> None:
        """Keep all of these, however many: they are read again in every tick."""
        with self._lock:
            self._active = {job.id: job for job in jobs}
