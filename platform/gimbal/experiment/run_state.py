"""What `run.json` in a run folder says."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from gimbal.experiment.process_identity import ProcessIdentity


class RunStatus(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """It was killed or stopped; the same command continues it."""
    DAMAGED = "damaged"
    """Its folder cannot be read."""


class StageStatus(StrEnum):
    """How a stage of a run stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    SKIPPED = "skipped"
    """Another run had finished it before."""
    FAILED = "failed"


class StageState(BaseModel):
    """A stage's line in the run."""

    model_config = ConfigDict(frozen=True)

    status: StageStatus = StageStatus.WAITING
    fingerprint: str | None = None
    seconds: float | None = None
    metrics: dict[str, Any] = {}
    message: str = ""
    """Why it ran again, was skipped or failed."""


class RunState(BaseModel):
    """The state of a run; times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: str
    experiment: str
    workload: str
    status: RunStatus
    owner: ProcessIdentity | None = None
    command: list[str] = []
    started_at: datetime
    ended_at: datetime | None = None
    attempts: int = 1
    """How often it was started; continuing an interrupted run counts."""
    stages: dict[str, StageState] = {}
    message: str = ""
    sweep: str = ""
    """The sweep it is a trial of, `<experiment>/<sweep id>`; empty: it was run by itself."""
    trial: str = ""
    """The trial's readable name, such as `temperature=0.05 lr=0.002 seed=1`."""


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)
