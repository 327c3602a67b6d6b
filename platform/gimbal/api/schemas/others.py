"""Answers about runs, tokens and the service itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from gimbal.api.schemas.problems import Answer
from gimbal.jobs.model import Role


class StageOut(Answer):
    """A stage of a run."""

    name: str
    status: str
    seconds: float | None
    fingerprint: str | None
    metrics: dict[str, Any]
    message: str


class RunSummary(Answer):
    """A run in a list."""

    id: str
    experiment: str
    workload: str | None
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    message: str


class RunOut(RunSummary):
    """A run with its stages."""

    attempts: int
    has_report: bool
    stages: tuple[StageOut, ...]


class RunList(Answer):
    """Runs, newest first."""

    runs: tuple[RunSummary, ...]
    next_cursor: str | None


class TokenOut(Answer):
    """A token, without the token."""

    id: int
    user: str
    role: Role
    created_at: datetime
    expires_at: datetime | None


class NewToken(TokenOut):
    """A token that was just made; it is shown this once."""

    token: str


class TokenList(Answer):
    """Every token that is not revoked."""

    tokens: tuple[TokenOut, ...]


class AuditEntry(Answer):
    """Who did what."""

    id: int
    at: datetime
    user: str
    """`controller` where no person did it."""
    action: str
    target: str


class AuditLog(Answer):
    """The newest entries, newest first."""

    entries: tuple[AuditEntry, ...]


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Answer):
    """Whether the service can do its work, and why not."""

    status: Literal["ready", "not ready"]
    reasons: tuple[str, ...]
