"""Whether a trial failed because of somebody else's process on its GPU.

A neighbour shows in many ways: the guard refuses the card at the start, or an allocation fails in
the middle of a step with CUDA's or cuBLAS's own words. The workers leave what they saw in the
attempt's folder, and the service's classifier, which knows those words, decides here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gimbal.experiment.attempt import AttemptFolder, FailureFile
from gimbal.scheduling.failure_model import Evidence, FailureCase, FailureClass, GpuAtFailure
from gimbal.scheduling.failures import classify
from gimbal.scheduling.model import GpuUuid


def neighbour_of(attempt: AttemptFolder) -> str | None:
    """Return a sentence on the neighbour that an attempt met, or None where it met none."""
    failures = attempt.every("failure", FailureFile)
    if not failures:
        return None
    cards = {str(gpu.get("uuid")): (gpu, f.rank) for f in failures for gpu in f.gpus}
    case = FailureCase(
        evidence=tuple(_evidence(failure) for failure in failures),
        gpus=tuple(_card(uuid, gpu, rank) for uuid, (gpu, rank) in cards.items()),
    )
    found = classify(case)
    return found.reason if found.failure is FailureClass.CONTENTION else None


def forget_failures(attempt: AttemptFolder) -> None:
    """Remove what workers reported, so that it does not explain the next failure."""
    for path in attempt.path.glob("failure-*.json"):
        path.unlink(missing_ok=True)


def _evidence(failure: FailureFile) -> Evidence:
    return Evidence(
        text=failure.text,
        error_type=failure.error_type,
        error_code=failure.error_code,
        rank=failure.rank,
        at=failure.at,
    )


def _card(uuid: str, gpu: Mapping[str, Any], rank: int) -> GpuAtFailure:
    own = int(gpu.get("own_bytes") or 0)
    return GpuAtFailure(
        uuid=GpuUuid(uuid),
        total_bytes=int(gpu.get("total_bytes") or 0),
        foreign_bytes=max(0, int(gpu.get("used_bytes") or 0) - own),
        own_bytes=own,
        fault=str(gpu.get("fault") or ""),
        rank=rank,
    )
