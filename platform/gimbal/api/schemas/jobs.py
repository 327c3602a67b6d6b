"""Answers about jobs, their attempts and their logs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from gimbal.api.schemas.problems import Answer
from gimbal.jobs.model import AttemptPhase, JobState, StopWhy
from gimbal.scheduling.failure_model import FailureClass

_SUMMARY: dict[str, Any] = {
    "id": "job-k3v7qa2m",
    "workload": "nbv",
    "experiment": "nbv-quickstart",
    "user": "ada",
    "state": "RUNNING",
    "reason": "",
    "detail": "",
    "cancel_requested": False,
    "gpus": 1,
    "gpu_share": 1.0,
    "gpu_memory_bytes": 10737418240,
    "priority": 5,
    "submitted_at": "2026-11-21T09:30:15.250000Z",
    "started_at": "2026-11-21T09:31:02.100000Z",
    "ended_at": None,
    "not_before": None,
    "retry_of": None,
    "attempt": 1,
    "version": 4,
}
_ATTEMPT: dict[str, Any] = {
    "number": 1,
    "phase": "running",
    "submission_id": "gimbal-job-k3v7qa2m-1",
    "gpus": [
        {
            "uuid": "GPU-76098dc1-5f5e-7f4f-9f3c-8a2c6d1b0e21",
            "node": "lab1",
            "index": 3,
            "share": 1.0,
            "memory_bytes": 10737418240,
        }
    ],
    "used": ["GPU-76098dc1-5f5e-7f4f-9f3c-8a2c6d1b0e21"],
    "granted_at": "2026-11-21T09:31:01.900000Z",
    "launched_at": "2026-11-21T09:31:02.100000Z",
    "ended_at": None,
    "stop_why": None,
    "stop_at": None,
    "stop_deadline": None,
    "failure": None,
    "reason": "",
    "exit_code": None,
    "gpus_at_launch": [],
    "gpus_at_end": [],
    "peak_bytes": 0,
    "run": "nbv-quickstart/20261121-093110-4f1c",
}


class GrantedCard(Answer):
    """A card, or a share of one, given to one worker."""

    uuid: str
    node: str
    index: int | None
    """Its number on the node; null: not known any more."""
    share: float
    memory_bytes: int | None


class AttemptOut(Answer):
    """One try at a job."""

    number: int
    phase: AttemptPhase
    submission_id: str
    gpus: tuple[GrantedCard, ...]
    """Cards chosen for it."""
    used: tuple[str, ...]
    """UUIDs its workers reported."""
    granted_at: datetime
    launched_at: datetime | None
    ended_at: datetime | None
    stop_why: StopWhy | None
    stop_at: datetime | None
    stop_deadline: datetime | None
    failure: FailureClass | None
    """Class of its failure; null: it has not failed."""
    reason: str
    exit_code: int | None
    gpus_at_launch: tuple[dict[str, Any], ...]
    gpus_at_end: tuple[dict[str, Any], ...]
    peak_bytes: int
    run: str | None
    """`experiment/run-id` of the run it worked on."""


class JobSummary(Answer):
    """A job in a list."""

    id: str
    workload: str
    experiment: str
    user: str
    state: JobState
    reason: str
    """Code of why it stands so; empty: nothing to say."""
    detail: str
    """The same in one sentence."""
    cancel_requested: bool
    gpus: int
    gpu_share: float
    gpu_memory_bytes: int | None
    priority: int
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    not_before: datetime | None
    retry_of: str | None
    attempt: int
    """Number of the newest attempt; 0: none yet."""
    version: int
    """Counts changes; also the ETag."""


class AvoidedCard(Answer):
    """A card the job keeps off for a while."""

    uuid: str
    until: datetime


class JobOut(JobSummary):
    """A job with its config and every attempt."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_SUMMARY,
                    "config": {"train": {"steps": 2000}},
                    "avoid": [],
                    "attempts": [_ATTEMPT],
                }
            ]
        }
    )

    config: dict[str, Any]
    """Complete, with defaults; what looks like a secret is starred out."""
    avoid: tuple[AvoidedCard, ...]
    attempts: tuple[AttemptOut, ...]


class JobList(Answer):
    """Jobs, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"jobs": [_SUMMARY], "next_cursor": None}]}
    )

    jobs: tuple[JobSummary, ...]
    next_cursor: str | None
    """Give it as `cursor` for the next page; null: this is the last."""


class GpuSentence(Answer):
    """One card, and why the job is not on it."""

    gpu: str
    """`NODE:INDEX`."""
    sentence: str


class WhyOut(Answer):
    """What a job waits for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _SUMMARY["id"],
                    "state": "PENDING",
                    "reason": "WAITING_GPU_FOREIGN",
                    "headline": "needs 1 GPU with 10 GiB; none of 2 has it",
                    "position": 1,
                    "gpus": [
                        {"gpu": "lab1:0", "sentence": "ada (python) holds 14.1 GiB"},
                        {"gpu": "lab1:1", "sentence": "cooling down, free in 40 s"},
                    ],
                }
            ]
        }
    )

    id: str
    state: JobState
    reason: str
    headline: str
    position: int | None
    """Place in the queue, from 1; null: it does not wait."""
    gpus: tuple[GpuSentence, ...]


class LogEvent(Answer):
    """Data of the event `log`; its `id:` is `ATTEMPT:OFFSET`, where the next one goes on."""

    attempt: int
    lines: tuple[str, ...]
    """Without line ends and control characters; very long lines are cut."""


class LogEnd(Answer):
    """Data of the event `end`: the job is terminal and its log was sent whole."""

    state: JobState
    reason: str
    detail: str
