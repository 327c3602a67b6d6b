"""Carries an attempt from its intention to a running driver, from wherever it stands.

Every step may be done twice with the effect of once: files are written whole, reserving and
launching are keyed by the attempt's name. So a controller that finds an attempt half started simply
goes on with it.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from gimbal.errors import StorageError
from gimbal.jobs.attempt_files import write_config, write_grant
from gimbal.jobs.controller.ending import Ender
from gimbal.jobs.controller.events import event
from gimbal.jobs.controller.world import Tick, World
from gimbal.jobs.model import Attempt, AttemptPhase, Job
from gimbal.jobs.ports import ReserveFailed
from gimbal.scheduling.failure_model import Diagnosis, FailureClass


class Starter:
    """Starts attempts.

    Args:
        world: The outside.
        ender: Ends attempts that cannot be started.
    """

    def __init__(self, world: World, ender: Ender) -> None:
        self._world = world
        self._ender = ender

    def start(self, tick: Tick, job: Job, attempt: Attempt) -> None:
        """Bring an attempt to run.

        Raises:
            Stale: The job changed meanwhile; the next tick goes on.
            LaunchUnavailable: Ray does not answer; the next tick goes on.
            LeaseLost: Another controller took over.
        """
        try:
            self._prepare(job, attempt)
        except ReserveFailed as error:
            self.contended(tick, job, attempt, str(error))
            return
        except StorageError as error:
            diagnosis = Diagnosis(failure=FailureClass.INFRA, reason=error.message)
            self._ender.diagnosed(tick, job, attempt, diagnosis)
            return
        if attempt.phase is AttemptPhase.INTENDED:
            job = tick.saw(self._world.store.launching(self._world.lease(), job))
        self._world.launcher.launch(job, attempt)
        job = self.launched(tick, job)
        tick.placed += 1
        self._world.stats.placements += 1

    def launched(self, tick: Tick, job: Job) -> Job:
        """Record that Ray has the current attempt.

        Raises:
            Stale: The job changed meanwhile.
            LeaseLost: Another controller took over.
        """
        job = tick.saw(self._world.store.launched(self._world.lease(), job, now=self._world.now()))
        attempt = job.attempts[-1]
        event("launched", job=job.id, attempt=attempt.number, submission_id=attempt.submission_id)
        return job

    def contended(self, tick: Tick, job: Job, attempt: Attempt, words: str) -> None:
        """Queue a job again whose cards somebody took between the decision and the start."""
        event(
            "reserve_failed",
            level=logging.WARNING,
            job=job.id,
            attempt=attempt.number,
            words=words,
        )
        diagnosis = Diagnosis(
            failure=FailureClass.CONTENTION,
            reason=f"A card was taken before the job could have it: {words}",
            blamed=frozenset(grant.uuid for grant in attempt.grants),
        )
        self._ender.diagnosed(
            tick,
            job,
            attempt,
            diagnosis,
            settle=attempt.phase is AttemptPhase.LAUNCHING,
            avoid_for=timedelta(seconds=self._world.settings.reserve_avoid_s),
        )

    def _prepare(self, job: Job, attempt: Attempt) -> None:
        write_config(self._world.runs_dir, job)
        bundles: tuple[tuple[str, int], ...] = ()
        if attempt.grants:
            bundles = self._world.warden.reserve(attempt.submission_id, attempt.grants)
        folder = self._world.folder(job, attempt)
        write_grant(folder, job, attempt, bundles, self._world.tolerated_bytes)
