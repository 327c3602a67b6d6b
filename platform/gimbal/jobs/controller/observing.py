"""What an attempt's files say while it runs, written into the store when it changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gimbal.errors import StorageError
from gimbal.experiment.attempt import (
    AttemptFolder,
    FailureFile,
    OutcomeFile,
    RecordT,
    RunFile,
    WorkerFile,
)
from gimbal.jobs.controller.events import event
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Attempt, Job
from gimbal.scheduling.model import GpuUuid

_SAME = 1.01
"""A peak up to this much above the reservation is the reservation, rounded by an allocator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """Everything an attempt has said so far."""

    run: RunFile | None = None
    outcome: OutcomeFile | None = None
    workers: tuple[WorkerFile, ...] = ()
    failures: tuple[FailureFile, ...] = ()

    @property
    def began(self) -> bool:
        """Whether the attempt ever ran."""
        return self.run is not None or self.outcome is not None or bool(self.workers)

    @property
    def used(self) -> tuple[GpuUuid, ...]:
        """Cards its workers reported, each once."""
        seen = (GpuUuid(uuid) for worker in self.workers for uuid in worker.uuids)
        return tuple(dict.fromkeys(seen))

    @property
    def peak_bytes(self) -> int:
        """The most memory a worker held on a card, beyond what it had reserved in advance.

        Within its reservation nothing was learned: the reservation itself would count as the peak,
        and with a margin on top the next one would be larger, for ever. 0: nothing was learned.
        """
        reserved = {worker.rank: worker.reserved_bytes for worker in self.workers}
        reports = [(w.rank, w.peak_bytes) for w in self.workers]
        reports += [(f.rank, f.peak_bytes) for f in self.failures]
        learned = (peak for rank, peak in reports if peak > reserved.get(rank, 0) * _SAME)
        return max(learned, default=0)


def read_attempt(folder: AttemptFolder) -> Observation:
    """Return what an attempt's files say; damaged ones say nothing."""
    return Observation(
        run=_read(folder, "run", RunFile),
        outcome=_read(folder, "outcome", OutcomeFile),
        workers=tuple(folder.every("worker", WorkerFile)),
        failures=tuple(folder.every("failure", FailureFile)),
    )


class Observer:
    """Copies what running attempts report into the store, each every few seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, float] = {}
        self._warned: set[str] = set()

    def due(self, attempt: Attempt) -> bool:
        """Return whether an attempt's files should be read again."""
        last = self._seen.get(attempt.submission_id)
        passed = self._world.clock.monotonic()
        return last is None or passed - last >= self._world.settings.observe_s

    def observe(self, tick: Tick, job: Job, attempt: Attempt) -> tuple[Job, Observation]:
        """Read an attempt's files and store what is new.

        Raises:
            Stale: The job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        self._seen[attempt.submission_id] = self._world.clock.monotonic()
        found = read_attempt(self._world.folder(job, attempt))
        self._check_used(job, attempt, found)
        run_dir = found.run.run_dir if found.run else attempt.run_dir
        peak = max(found.peak_bytes, attempt.peak_bytes)
        used = found.used or attempt.used
        if (used, run_dir, peak) == (attempt.used, attempt.run_dir, attempt.peak_bytes):
            return job, found
        noted = self._world.store.note_run(
            self._world.lease(), job, used=used, run_dir=run_dir, peak_bytes=peak
        )
        return tick.saw(noted), found

    def forget(self, submission_id: str) -> None:
        """Drop what is remembered of an attempt that has ended."""
        self._seen.pop(submission_id, None)
        self._warned.discard(submission_id)

    def _check_used(self, job: Job, attempt: Attempt, found: Observation) -> None:
        """Say loudly if a worker ran on a card it was not given: the fence has a hole."""
        strange = set(found.used) - {grant.uuid for grant in attempt.grants}
        if not strange or not attempt.grants or attempt.submission_id in self._warned:
            return
        self._warned.add(attempt.submission_id)
        event(
            "used_not_granted",
            level=logging.ERROR,
            job=job.id,
            attempt=attempt.number,
            uuids=",".join(sorted(strange)),
        )


def _read(folder: AttemptFolder, name: str, kind: type[RecordT]) -> RecordT | None:
    try:
        return folder.read(name, kind)
    except StorageError as error:
        event("attempt_file_damaged", level=logging.WARNING, file=name, words=error.message)
        return None
