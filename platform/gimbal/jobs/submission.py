"""The name of an attempt in Ray: a function of job and number, so that launching twice is once."""

from __future__ import annotations

from gimbal.scheduling.model import JobId

_PREFIX = "gimbal-"


def submission_id(job_id: JobId, number: int) -> str:
    """Return what an attempt is called in Ray and in the warden."""
    return f"{_PREFIX}{job_id}-{number}"


def parse_submission_id(name: str) -> tuple[JobId, int] | None:
    """Return job and attempt number, or None where the name is not one of Gimbal's."""
    job_id, dash, number = name.removeprefix(_PREFIX).rpartition("-")
    if not name.startswith(_PREFIX) or not dash or not job_id or not number.isdecimal():
        return None
    return JobId(job_id), int(number)
