"""Turns a training stage's `checkpoints/index.json` into what MLflow records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.tracking import flattening

TAG = "gimbal.checkpoint"
"""Prefix of the tags that record checkpoints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptCheckpoint:
    """A checkpoint on disk.

    Attributes:
        name: Of its folder or file.
        path: Where it is.
        sha256: Of its content, as the training stage recorded it.
        step: Optimizer step.
        metrics: Validation numbers at that step.
    """

    name: str
    path: Path
    sha256: str
    step: int
    metrics: Mapping[str, float]

    def tag_value(self) -> str:
        """Return the record of this checkpoint as JSON."""
        record = {
            "uri": self.path.as_uri(),
            "sha256": self.sha256,
            "step": self.step,
            "metrics": dict(self.metrics),
        }
        return flattening.cut(json.dumps(record), flattening.MAX_TAG_VALUE)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointIndex:
    """What an index lists.

    Attributes:
        digest: Of the index file; equal digests, equal content.
        kept: All checkpoints on disk, in the index's order.
        best: The best of them, or None.
    """

    digest: str
    kept: tuple[KeptCheckpoint, ...]
    best: KeptCheckpoint | None


def read_index(path: Path) -> CheckpointIndex | None:
    """Read an index; None while there is none or it is unreadable.

    The file is an object whose `checkpoints` is a list of `{path, sha256, step, metrics}`, paths
    relative to the index's folder, and whose `best` is the path of one of them; without
    validation there is no best one, and `last` stands for it.
    """
    try:
        data = path.read_bytes()
        tree = json.loads(data)
        kept = tuple(_checkpoint(entry, path.parent) for entry in tree["checkpoints"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    best = _named(tree.get("best") or tree.get("last"), kept)
    return CheckpointIndex(digest=hashlib.sha256(data).hexdigest(), kept=kept, best=best)


def _checkpoint(entry: Mapping[str, Any], folder: Path) -> KeptCheckpoint:
    path = (folder / str(entry["path"])).absolute()
    return KeptCheckpoint(
        name=path.name,
        path=path,
        sha256=str(entry["sha256"]),
        step=int(entry["step"]),
        metrics=flattening.metrics(entry.get("metrics") or {}),
    )


def _named(path: Any, kept: tuple[KeptCheckpoint, ...]) -> KeptCheckpoint | None:
    name = Path(str(path)).name
    return next((checkpoint for checkpoint in kept if checkpoint.name == name), None)
