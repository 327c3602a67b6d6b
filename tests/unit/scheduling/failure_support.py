"""Cases of failed attempts, from the corpus and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gimbal.scheduling.failure_model import Evidence, FailureCase, GpuAtFailure
from gimbal.scheduling.model import GpuUuid

GIB = 2**30


def card(
    number: int = 0,
    *,
    total: float = 24.0,
    foreign: float = 0.0,
    own: float = 0.0,
    sibling: float = 0.0,
    fault: str = "",
    rank: int | None = None,
) -> GpuAtFailure:
    """A card, its memory in GiB."""
    return GpuAtFailure(
        uuid=GpuUuid(f"GPU-{number}"),
        total_bytes=int(total * GIB),
        foreign_bytes=int(foreign * GIB),
        own_bytes=int(own * GIB),
        sibling_bytes=int(sibling * GIB),
        fault=fault,
        rank=rank,
    )


def corpus() -> list[dict[str, Any]]:
    entries = yaml.safe_load((Path(__file__).parent / "failure_corpus.yaml").read_text())
    assert isinstance(entries, list)
    return entries


def case_of(entry: dict[str, Any]) -> FailureCase:
    """The case an entry of the corpus describes."""
    need = entry.get("need")
    return FailureCase(
        evidence=(
            Evidence(
                text=entry["text"],
                error_type=entry.get("type", ""),
                error_code=entry.get("code"),
                rank=entry.get("rank"),
                at=1000.0,
            ),
        ),
        exit_code=entry.get("exit", 1),
        ray_status="FAILED",
        gpus=tuple(card(n, **values) for n, values in enumerate(entry.get("cards", ()))),
        need_bytes=None if need is None else int(need * GIB),
        stop_why=entry.get("stop", ""),
    )
