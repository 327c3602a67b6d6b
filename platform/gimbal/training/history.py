"""What a training stage's folder tells for the provenance: on what it ran, and what it saved.

Read from the ledger and the index of checkpoints, without torch and without touching weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment.files import read_json
from gimbal.training.ledger_lines import Begun, Saved, read_ledger

_INDEX = "checkpoints/index.json"


def training_history(stage_dir: Path) -> dict[str, Any] | None:
    """Describe a finished or interrupted training; None: no training happened in that folder.

    Returns:
        `world_sizes`, `devices`, `hosts` and `gpus` (UUIDs) over all attempts, `attempts` one by
        one, and `checkpoints` that are in place, each with step, sha256, bytes, best and last.
    """
    begun = begun_in(stage_dir)
    if not begun:
        return None
    workers = [worker for entry in begun for worker in entry.workers]
    return {
        "world_sizes": sorted({len(entry.workers) for entry in begun}),
        "devices": sorted({worker.device for worker in workers}),
        "hosts": sorted({worker.host for worker in workers}),
        "gpus": sorted({uuid for worker in workers for uuid in worker.gpus}),
        "attempts": [
            {
                "attempt": entry.attempt,
                "from_step": entry.step,
                "world_size": len(entry.workers),
                "gpus": sorted({uuid for worker in entry.workers for uuid in worker.gpus}),
                "at": entry.at,
            }
            for entry in begun
        ],
        "checkpoints": _checkpoints(stage_dir),
    }


def begun_in(stage_dir: Path) -> list[Begun]:
    """Return the attempts that a stage's ledger tells of; none where it has none, or a damaged."""
    try:
        ledger = read_ledger(stage_dir)
    except GimbalError:
        return []
    entries = ledger.entries if ledger else ()
    return [entry for _, entry in entries if isinstance(entry, Begun)]


def _checkpoints(stage_dir: Path) -> list[dict[str, Any]]:
    try:
        index = read_json(stage_dir / _INDEX)
        listed = index["checkpoints"]
        last, sizes = index["last"], _sizes(stage_dir)
        return [
            {
                "path": entry["path"],
                "step": entry["step"],
                "sha256": entry["sha256"],
                "bytes": sizes.get(entry["sha256"]),
                "best": entry["best"],
                "last": entry["path"] == last,
            }
            for entry in listed
        ]
    except (StorageError, KeyError, TypeError):
        return []  # nothing was saved yet, or a check of the run will say what is damaged


def _sizes(stage_dir: Path) -> dict[str, int]:
    ledger = read_ledger(stage_dir)
    entries = ledger.entries if ledger else ()
    return {entry.sha256: entry.bytes for _, entry in entries if isinstance(entry, Saved)}
