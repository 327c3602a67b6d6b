"""Gathers all that is known of a failed attempt for the classifier.

A worker that Ray Train replaced leaves its failure behind although the run went on. Such a file is
recognised by a later report of the same rank, and left out: an old, mended failure must not decide
what the new one was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gimbal.experiment.attempt import FailureFile, OutcomeFile, WorkerFile
from gimbal.jobs.controller.observing import Observation
from gimbal.jobs.model import Attempt
from gimbal.jobs.ports import LaunchReport
from gimbal.scheduling.failure_model import Evidence, FailureCase, GpuAtFailure
from gimbal.scheduling.model import Condition, Gpu, GpuUuid

_LOG_TAIL_BYTES = 16_384
"""End of the log that is read where nobody left a failure file: some tracebacks are long."""
_MENDED_S = 5.0
"""A report this much later than a failure of the same rank is from its successor."""


def failure_case(
    attempt: Attempt,
    found: Observation,
    report: LaunchReport | None,
    *,
    cards: Sequence[GpuAtFailure],
    need_bytes: int | None,
    log: Path,
) -> FailureCase:
    """Return everything that is known of how an attempt failed.

    Args:
        attempt: The attempt.
        found: What its files say.
        report: What Ray says; None: Ray does not know it.
        cards: Its cards when it failed.
        need_bytes: What the job was measured, else stated, to need.
        log: Its log file, read only where nobody says more.
    """
    evidence = [_of_failure(failure) for failure in live_failures(found)]
    if found.outcome is not None and found.outcome.exit_code != 0:
        evidence.append(_of_outcome(found.outcome))
    if not evidence:
        evidence = _of_words(report, log)
    return FailureCase(
        evidence=tuple(evidence),
        exit_code=exit_code_of(found, report),
        ray_status=report.status.value.upper() if report else None,
        gpus=tuple(cards),
        need_bytes=need_bytes,
        stop_why=attempt.stop_why.value if attempt.stop_why else "",
    )


def exit_code_of(found: Observation, report: LaunchReport | None) -> int | None:
    """Return the driver's exit status: Ray's word, else the driver's own."""
    if report is not None and report.exit_code is not None:
        return report.exit_code
    return found.outcome.exit_code if found.outcome else None


def live_failures(found: Observation) -> list[FailureFile]:
    """Return the failures that no later report of the same rank contradicts."""
    reported: Mapping[int, WorkerFile] = {worker.rank: worker for worker in found.workers}
    return [
        failure
        for failure in found.failures
        if failure.rank not in reported or reported[failure.rank].at <= failure.at + _MENDED_S
    ]


def cards_at_failure(
    attempt: Attempt, found: Observation, gpus: Sequence[Gpu], siblings: frozenset[GpuUuid]
) -> tuple[GpuAtFailure, ...]:
    """Return an attempt's cards at the time it failed.

    A worker saw its card at that very moment; the snapshot is seconds younger but knows whose
    memory it was. The larger figure counts.

    Args:
        attempt: The attempt.
        found: What its files say.
        gpus: The snapshot.
        siblings: Cards that other attempts share with it.
    """
    seen = {
        GpuUuid(str(gpu.get("uuid"))): {**gpu, "rank": failure.rank}
        for failure in live_failures(found)
        for gpu in failure.gpus
    }
    known = {gpu.uuid: gpu for gpu in gpus}
    return tuple(
        _card(grant.uuid, known.get(grant.uuid), seen.get(grant.uuid, {}), grant.uuid in siblings)
        for grant in attempt.grants
    )


def _card(uuid: GpuUuid, gpu: Gpu | None, seen: Mapping[str, object], shared: bool) -> GpuAtFailure:
    own = _number(seen, "own_bytes")
    others = max(0, _number(seen, "used_bytes") - own)
    sibling = min(others, gpu.own_bytes) if gpu is not None and shared else 0
    fault = str(seen.get("fault") or "")
    if not fault and gpu is not None and gpu.condition is Condition.FAULTY:
        fault = gpu.note or "faulty"
    return GpuAtFailure(
        uuid=uuid,
        label=gpu.label if gpu is not None else "",
        rank=_number(seen, "rank") if "rank" in seen else None,
        total_bytes=gpu.total_bytes if gpu is not None else _number(seen, "total_bytes"),
        foreign_bytes=max(others - sibling, gpu.foreign_bytes if gpu is not None else 0),
        own_bytes=own,
        sibling_bytes=sibling,
        fault=fault,
    )


def _number(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return int(value) if isinstance(value, int | float) else 0


def _of_failure(failure: FailureFile) -> Evidence:
    return Evidence(
        text=failure.text,
        error_type=failure.error_type,
        error_code=failure.error_code,
        rank=failure.rank,
        at=failure.at,
    )


def _of_outcome(outcome: OutcomeFile) -> Evidence:
    return Evidence(text=outcome.message, error_type=outcome.error_type, at=outcome.at)


def _of_words(report: LaunchReport | None, log: Path) -> list[Evidence]:
    """Return Ray's message and the end of the log, where nobody said more."""
    texts = [report.message if report else "", _tail(log)]
    return [Evidence(text=text) for text in texts if text]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
