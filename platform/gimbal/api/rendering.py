"""Records as the mappings that `schemas` describes, without building those models.

Texts that people or programs outside wrote are made harmless here, once, for every answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from gimbal.api.redacting import redacted
from gimbal.api.text import cleaned, cleaned_plain
from gimbal.experiment.run_finding import RunEntry
from gimbal.experiment.run_folder import RUN_ID
from gimbal.jobs.model import Attempt, Hold, Identity, Job, Quarantine
from gimbal.scheduling.model import Gpu, GpuUuid

Json = dict[str, Any]


def time_text(at: datetime | None) -> str | None:
    """Return a time as RFC 3339 has it, in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def job_summary(job: Job) -> Json:
    """Return a `JobSummary`."""
    spec = job.spec
    return {
        "id": job.id,
        "workload": spec.workload,
        "experiment": spec.experiment,
        "user": spec.user,
        "state": job.state.value,
        "reason": job.reason,
        "detail": cleaned(job.detail),
        "cancel_requested": job.cancel_requested,
        "gpus": spec.gpus,
        "gpu_share": spec.share,
        "gpu_memory_bytes": spec.memory_bytes,
        "priority": spec.priority,
        "submitted_at": time_text(job.submitted_at),
        "started_at": time_text(job.started_at),
        "ended_at": time_text(job.ended_at),
        "not_before": time_text(job.not_before),
        "retry_of": job.retry_of,
        "attempt": job.attempts[-1].number if job.attempts else 0,
        "version": job.version,
    }


def job_detail(job: Job) -> Json:
    """Return a `JobOut`."""
    return {
        **job_summary(job),
        "config": cleaned_plain(redacted(job.spec.config)),
        "avoid": [{"uuid": uuid, "until": time_text(until)} for uuid, until in job.avoid.items()],
        "attempts": [_attempt(attempt) for attempt in job.attempts],
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "number": attempt.number,
        "phase": attempt.phase.value,
        "submission_id": attempt.submission_id,
        "gpus": _granted(attempt),
        "used": list(attempt.used),
        "granted_at": time_text(attempt.granted_at),
        "launched_at": time_text(attempt.launched_at),
        "ended_at": time_text(attempt.ended_at),
        "stop_why": attempt.stop_why and attempt.stop_why.value,
        "stop_at": time_text(attempt.stop_at),
        "stop_deadline": time_text(attempt.stop_deadline),
        "failure": attempt.failure and attempt.failure.value,
        "reason": cleaned(attempt.reason),
        "exit_code": attempt.exit_code,
        "gpus_at_launch": cleaned_plain(attempt.gpus_at_launch),
        "gpus_at_end": cleaned_plain(attempt.gpus_at_end),
        "peak_bytes": attempt.peak_bytes,
        "run": _run_name(attempt.run_dir),
    }


def _granted(attempt: Attempt) -> list[Json]:
    indices = {card.get("uuid"): card.get("index") for card in attempt.gpus_at_launch}
    return [
        {
            "uuid": grant.uuid,
            "node": grant.node,
            "index": indices.get(grant.uuid),
            "share": grant.share,
            "memory_bytes": grant.memory_bytes,
        }
        for grant in attempt.grants
    ]


def _run_name(run_dir: str) -> str | None:
    path = PurePath(run_dir)
    return f"{path.parent.name}/{path.name}" if RUN_ID.match(path.name) else None


def hold(claim: Hold) -> Json:
    """Return a `HoldOut`."""
    return {
        "id": claim.id,
        "node": claim.node,
        "gpu": claim.index,
        "uuid": claim.uuid,
        "user": claim.user,
        "reason": cleaned(claim.reason),
        "since": time_text(claim.since),
        "until": time_text(claim.until),
    }


def quarantine(card: Quarantine) -> Json:
    """Return a `QuarantineOut`."""
    return {
        "node": card.node,
        "gpu": card.index,
        "uuid": card.uuid,
        "reason": cleaned(card.reason),
        "since": time_text(card.since),
    }


def released(claim: Hold | None, card: Quarantine | None) -> Json:
    """Return a `Released`."""
    return {
        "hold": hold(claim) if claim else None,
        "quarantine": quarantine(card) if card else None,
    }


def audit_entry(entry: Mapping[str, Any]) -> Json:
    """Return an `AuditEntry`."""
    return {**entry, "at": time_text(entry["at"]), "target": cleaned(entry["target"])}


def gpus(cards: Iterable[Gpu], running: Iterable[Job], holds: Iterable[Hold]) -> list[Json]:
    """Return a `GpuOut` for each card, with our jobs and the holds on it."""
    on_card: dict[GpuUuid, list[Json]] = {}
    for job in running:
        for grant in job.current.grants if job.current else ():
            entry = {"id": job.id, "user": job.spec.user, "share": grant.share}
            on_card.setdefault(grant.uuid, []).append(entry)
    held = {(claim.node, claim.index): claim for claim in holds}
    return [
        _gpu(card, on_card.get(card.uuid, []), held.get((card.node, card.index))) for card in cards
    ]


def _gpu(card: Gpu, jobs: list[Json], claim: Hold | None) -> Json:
    return {
        "uuid": card.uuid,
        "node": card.node,
        "index": card.index,
        "label": card.label,
        "name": cleaned(card.name),
        "condition": card.condition.value,
        "total_bytes": card.total_bytes,
        "own_bytes": card.own_bytes,
        "foreign_bytes": card.foreign_bytes,
        "cooling_s": round(card.cooling_s, 1),
        "note": cleaned(card.note),
        "jobs": jobs,
        "hold": hold(claim) if claim else None,
    }


def run_summary(entry: RunEntry) -> Json:
    """Return a `RunSummary`."""
    state = entry.state
    return {
        "id": entry.folder.id,
        "experiment": entry.experiment,
        "workload": cleaned(state.workload) if state else None,
        "status": entry.status.value,
        "started_at": time_text(state.started_at) if state else None,
        "ended_at": time_text(state.ended_at) if state else None,
        "message": cleaned(state.message) if state else "its folder cannot be read",
    }


def run_detail(entry: RunEntry) -> Json:
    """Return a `RunOut`."""
    stages = entry.state.stages if entry.state else {}
    return {
        **run_summary(entry),
        "attempts": entry.state.attempts if entry.state else 0,
        "has_report": entry.folder.report.is_file(),
        "stages": [
            {
                "name": cleaned(name),
                "status": stage.status.value,
                "seconds": stage.seconds if math.isfinite(stage.seconds or 0) else None,
                "fingerprint": stage.fingerprint,
                "metrics": cleaned_plain(stage.metrics),
                "message": cleaned(stage.message),
            }
            for name, stage in stages.items()
        ],
    }


def token(record: tuple[int, Identity, datetime, datetime | None]) -> Json:
    """Return a `TokenOut`."""
    number, identity, created_at, expires_at = record
    return {
        "id": number,
        "user": identity.user,
        "role": identity.role.value,
        "created_at": time_text(created_at),
        "expires_at": time_text(expires_at),
    }
