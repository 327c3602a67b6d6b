"""What the parts of the controller share: its ports, and what one tick has found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gimbal.experiment.attempt import AttemptFolder
from gimbal.gpus.words import clock_time
from gimbal.jobs.attempt_files import attempt_folder
from gimbal.jobs.controller.leadership import Leadership
from gimbal.jobs.controller.stats import ControllerStats
from gimbal.jobs.model import Attempt, Job, Quarantine
from gimbal.jobs.ports import Clock, GpuWarden, JobStore, Launcher, LaunchReport, Lease
from gimbal.jobs.settings import ControllerSettings
from gimbal.scheduling.model import Gpu, GpuUuid, JobId
from gimbal.scheduling.retrying import RetrySettings
from gimbal.scheduling.settings import PolicySettings

_PATIENCE = 2
"""Unanswered questions after which a tick asks Ray no more: each may take seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The outside as the controller's parts reach it.

    `tolerated_bytes` is what workers are told, see `GrantFile`.
    """

    store: JobStore
    launcher: Launcher
    warden: GpuWarden
    clock: Clock
    settings: ControllerSettings
    policy: PolicySettings
    retry: RetrySettings
    runs_dir: Path
    stats: ControllerStats
    leadership: Leadership
    tolerated_bytes: int | None = None

    def now(self) -> datetime:
        """Return the time in UTC."""
        return self.clock.now()

    def lease(self) -> Lease:
        """Return the lease for the next write.

        Raises:
            LeaseLost: Another controller took over.
        """
        return self.leadership.current()

    def push_claims(self) -> None:
        """Tell the warden which cards people claimed and which ones are broken.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        self.warden.set_holds(self.store.holds(now=self.now()))
        self.push_quarantines()

    def push_quarantines(self) -> None:
        """Tell the warden which cards are broken.

        Raises:
            LaunchUnavailable: Ray does not answer.
        """
        now = self.now().timestamp()
        self.warden.set_quarantines(
            {card.uuid: _words(card, now) for card in self.store.quarantines()}
        )

    def folder(self, job: Job, attempt: Attempt) -> AttemptFolder:
        """Return an attempt's folder."""
        return attempt_folder(self.runs_dir, job.id, attempt.number)


@dataclass(kw_only=True, slots=True)
class Tick:
    """One round.

    Attributes:
        jobs: Jobs that are not terminal, as this tick last saw them.
        reports: What Ray says of the attempts it knows.
        gpus: Every card.
        placed: Attempts started.
        ended: Attempts ended.
        waiting: Jobs left in the queue.
        unanswered: Questions Ray left open.
    """

    jobs: dict[JobId, Job]
    reports: Mapping[str, LaunchReport]
    gpus: tuple[Gpu, ...]
    placed: int = 0
    ended: int = 0
    waiting: int = 0
    unanswered: list[str] = field(default_factory=list)

    @property
    def patient(self) -> bool:
        """Whether Ray may be asked for more in this tick."""
        return len(self.unanswered) < _PATIENCE

    def saw(self, job: Job) -> Job:
        """Remember how a job stands now."""
        if job.state.is_terminal:
            self.jobs.pop(job.id, None)
        else:
            self.jobs[job.id] = job
        return job

    def cards(self, attempt: Attempt) -> tuple[dict[str, Any], ...]:
        """Return an attempt's cards as the snapshot has them, as plain values."""
        return plain_cards(self.gpus, frozenset(grant.uuid for grant in attempt.grants))


def plain_cards(gpus: tuple[Gpu, ...], wanted: frozenset[GpuUuid]) -> tuple[dict[str, Any], ...]:
    """Return some cards of a snapshot as plain values, to be stored."""
    chosen = (gpu for gpu in gpus if gpu.uuid in wanted)
    return tuple({**asdict(gpu), "condition": gpu.condition.value} for gpu in chosen)


def _words(card: Quarantine, now: float) -> str:
    since = clock_time(card.since.timestamp(), now)
    return f"quarantined since {since}: {card.reason.rstrip('.')}"
