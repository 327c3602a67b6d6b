"""The attempts of a run in its provenance: each start adds one entry, and none is ever lost.

An attempt that was killed could not say how it ended, so the next one says it. Where attempts ran
different code, each keeps its own description of it; where they ran the same, the provenance holds
it once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from gimbal.experiment.attempt import AttemptFolder

RUNNING = "running"
LOST = "lost"
"""Its process ended without a word: it was killed, or its machine went away."""


class AttemptRecord(BaseModel):
    """One start of a run.

    Attributes:
        number: From 1.
        ended_at: None: it goes on, or was lost.
        status: `running`, `finished`, `failed`, `interrupted` or `lost`.
        message: Why it ended, where it did not finish.
        commit: Of the first repository its code lies in.
        code_digest: Hash of its first-party sources.
        workers: Training workers it was given.
        gpus: UUIDs of the cards its workers had, and of those the service granted it.
        job: The service's job; None: nobody submitted it.
        job_attempt: The service's number of the attempt.
        code: What its code was, where a later attempt ran other code.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    status: str
    message: str = ""
    host: str = ""
    pid: int | None = None
    user: str | None = None
    command: list[str] = []
    commit: str | None = None
    dirty: bool | None = None
    code_digest: str | None = None
    workers: int | None = None
    gpus: list[str] = []
    job: str | None = None
    job_attempt: int | None = None
    code: dict[str, Any] | None = None


def beginning(
    number: int, record: Mapping[str, Any], workers: int, attempt: AttemptFolder | None
) -> AttemptRecord:
    """Return the entry of an attempt that begins.

    Args:
        number: The attempt's number.
        record: What `provenance.collect` found.
        workers: Training workers the config asks for.
        attempt: The service's or sweep's folder of this attempt, if there is one.
    """
    grant = attempt.grant() if attempt else None
    return _of_record(record).model_copy(
        update={
            "number": number,
            "status": RUNNING,
            "pid": os.getpid(),
            "workers": workers,
            "gpus": [gpu.uuid for gpu in grant.gpus] if grant else [],
            "job": grant.job if grant else None,
            "job_attempt": grant.attempt if grant else None,
        }
    )


def earlier(previous: Mapping[str, Any], code_digest: str) -> list[AttemptRecord]:
    """Return the attempts a run's provenance tells of, those that never said their end closed.

    Args:
        previous: The provenance the last attempt left; empty: there was none.
        code_digest: Of the attempt that begins now; where the last one ran other code, its entry
            takes the description of that code, which the provenance is about to lose.
    """
    if not previous:
        return []
    entries = [AttemptRecord.model_validate(entry) for entry in previous.get("attempts", [])]
    if not entries:  # written before attempts were kept
        entries = [_of_record(previous)]
    last = entries[-1]
    if last.code_digest != code_digest and isinstance(previous.get("code"), dict):
        entries[-1] = last.model_copy(update={"code": previous["code"]})
    return [
        entry.model_copy(update={"status": LOST}) if entry.status == RUNNING else entry
        for entry in entries
    ]


def _of_record(record: Mapping[str, Any]) -> AttemptRecord:
    code = record.get("code") or {}
    repositories: Sequence[Mapping[str, Any]] = code.get("repositories") or ()
    repository = next((one for one in repositories if "commit" in one), {})
    return AttemptRecord(
        number=1,
        status=LOST,
        started_at=record.get("time"),
        host=str(record.get("host", "")),
        user=record.get("user"),
        command=list(record.get("command", ())),
        commit=repository.get("commit"),
        dirty=repository.get("dirty"),
        code_digest=code.get("digest"),
    )
