"""Checkpoints that are either whole or not there.

`out_dir/checkpoints/step-XXXXXXXX/` holds `state.pt` and `checkpoint.json` (step, sha256, metrics).
A checkpoint is written beside its place, flushed and renamed; only when it is in place are older
ones deleted. Reading checks the hash, sets a damaged one aside under its own name and takes the one
before it.

This folder is the truth of a run, not Ray Train's: `ray.train.report` is never called. It would
make every worker wait for the controller, and after a failure offer the last checkpoint the
controller had heard of, which can be older than the last one on disk.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import torch

from gimbal.errors import StorageError
from gimbal.experiment.files import (
    atomic_write_json,
    ensure_folder,
    read_json,
    storage_errors,
    sync_folder,
)

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
STATE_FILE = "state.pt"
CARD_FILE = "checkpoint.json"
INDEX_FILE = "index.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint in its place.

    Attributes:
        path: Its folder.
        step: Optimizer steps done.
        sha256: Of state.pt.
        metrics: Numbers of the last validation at or before it.
        card: Everything in checkpoint.json.
    """

    path: Path
    step: int
    sha256: str
    metrics: Mapping[str, float]
    card: Mapping[str, Any] = field(repr=False, default_factory=dict)


class _Hashing(io.RawIOBase):
    """Passes bytes on to a file and hashes them on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        written = self._file.write(data)
        self.bytes += written
        return written


def folder_of(out_dir: Path) -> Path:
    """Return the folder of a stage's checkpoints."""
    return out_dir / FOLDER


def name_of(step: int) -> str:
    """Return the folder name of a step."""
    return f"step-{step:08d}"


def save(
    out_dir: Path, state: Mapping[str, Any], *, card: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint, whole or not at all.

    Args:
        out_dir: The stage's folder.
        state: What `load` gives back: tensors and plain values; must hold `step`.
        card: Further plain values for checkpoint.json.
        metrics: Numbers of the last validation.

    Raises:
        StorageError: If it cannot be written; the checkpoints before it are untouched.
    """
    step = int(state["step"])
    folder = ensure_folder(folder_of(out_dir))
    place = folder / name_of(step)
    draft = folder / f".{name_of(step)}.writing-{secrets.token_hex(4)}"
    try:
        with storage_errors(place, "write the checkpoint"):
            draft.mkdir()
            digest, size = _write_state(draft / STATE_FILE, state)
            content = {
                **card,
                "format": _FORMAT,
                "step": step,
                "sha256": digest,
                "bytes": size,
                "metrics": dict(metrics),
                "written_at": time.time(),
            }
            atomic_write_json(draft / CARD_FILE, content)
            sync_folder(draft)
            _into_place(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Checkpoint(path=place, step=step, sha256=digest, metrics=dict(metrics), card=content)


def _write_state(path: Path, state: Mapping[str, Any]) -> tuple[str, int]:
    with path.open("wb") as file:
        hashing = _Hashing(file)
        try:
            torch.save(dict(state), cast("IO[bytes]", hashing))
        except RuntimeError as error:
            # torch's archive writer hides the operating system's error behind its own.
            cause = error.__context__
            raise cause if isinstance(cause, OSError) else error from None
        file.flush()
        os.fsync(file.fileno())
        return hashing.hash.hexdigest(), hashing.bytes


def _into_place(draft: Path, place: Path) -> None:
    """Rename; a checkpoint of the same step (from before a restart) makes way first."""
    old = place.with_name(f".{place.name}.old-{secrets.token_hex(4)}")
    replaced = place.exists()
    if replaced:
        place.rename(old)
    draft.rename(place)
    sync_folder(place.parent)
    if replaced:
        shutil.rmtree(old, ignore_errors=True)


def listed(out_dir: Path) -> list[Checkpoint]:
    """Return the checkpoints in place, oldest first; their content is not checked here."""
    found = [_at(path) for path in sorted(folder_of(out_dir).glob("step-*"))]
    return [checkpoint for checkpoint in found if checkpoint.step >= 0]


def _at(path: Path) -> Checkpoint:
    """Return the checkpoint of a folder; one without a readable card cannot be verified."""
    try:
        card = read_json(path / CARD_FILE)
        return Checkpoint(
            path=path,
            step=int(card["step"]),
            sha256=str(card["sha256"]),
            metrics=card["metrics"],
            card=card,
        )
    except (StorageError, KeyError, TypeError, ValueError):
        return Checkpoint(path=path, step=_step_in(path.name), sha256="", metrics={})


def _step_in(name: str) -> int:
    digits = name.removeprefix("step-")
    return int(digits) if digits.isdigit() else -1


def damage(checkpoint: Checkpoint) -> str | None:
    """Return what is wrong with a checkpoint's files, or None."""
    if not checkpoint.sha256:
        return f"{checkpoint.path / CARD_FILE} is missing or damaged"
    path = checkpoint.path / STATE_FILE
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if found != checkpoint.sha256:
        return f"{path} is damaged: its sha256 is {found[:12]}…, not {checkpoint.sha256[:12]}…"
    return None


def newest_whole(out_dir: Path, *, set_aside: bool = True) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint whose hash is right, and what was wrong with newer ones.

    Args:
        out_dir: The stage's folder.
        set_aside: Rename damaged ones to `damaged-…`, so that they are looked at only once.
    """
    complaints: list[str] = []
    for checkpoint in reversed(listed(out_dir)):
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint, complaints
        complaints.append(problem)
        if set_aside:
            aside = checkpoint.path.with_name(f"damaged-{checkpoint.path.name}-{time.time_ns()}")
            with storage_errors(checkpoint.path, "set aside the damaged checkpoint"):
                checkpoint.path.rename(aside)
            logger.warning("%s; set aside as %s, using the one before", problem, aside.name)
    return None, complaints


def load(path: Path, *, verified: bool = False) -> dict[str, Any]:
    """Return what `save` was given, with tensors on the CPU; the weights are under `model`.

    Args:
        path: The checkpoint's folder.
        verified: The hash was checked already.

    Raises:
        StorageError: If its files are missing or damaged.
    """
    problem = None if verified else damage(_at(path))
    if problem is not None:
        raise StorageError(
            problem, "train anew: gimbal run CONFIG --force STAGE, the stage that trains it"
        )
    file = path / STATE_FILE
    with storage_errors(file, "read"):
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def write_index(out_dir: Path, best: int | None) -> None:
    """Write index.json: the checkpoints in place and which is best.

    Raises:
        StorageError: If it cannot be written.
    """
    kept = [
        {
            "path": checkpoint.path.name,
            "sha256": checkpoint.sha256,
            "step": checkpoint.step,
            "metrics": dict(checkpoint.metrics),
            "best": checkpoint.step == best,
        }
        for checkpoint in listed(out_dir)
    ]
    best_path = next((entry["path"] for entry in kept if entry["best"]), None)
    atomic_write_json(
        folder_of(out_dir) / INDEX_FILE,
        {"best": best_path, "last": kept[-1]["path"] if kept else None, "checkpoints": kept},
    )


def retire(out_dir: Path, *, keep: int, spare: Sequence[int | None]) -> None:
    """Delete all but the newest `keep` and the steps in `spare`.

    Call it once the newest is whole.
    """
    for checkpoint in listed(out_dir)[:-keep]:
        if checkpoint.step not in spare:
            shutil.rmtree(checkpoint.path, ignore_errors=True)


def clean(out_dir: Path) -> None:
    """Remove what interrupted writers left."""
    for pattern in (".step-*.writing-*", ".step-*.old-*"):
        for left in folder_of(out_dir).glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def best(out_dir: Path) -> Path:
    """Return the folder of the best checkpoint of a finished or running stage.

    Raises:
        StorageError: If there is none.
    """
    index = folder_of(out_dir) / INDEX_FILE
    content = read_json(index)
    name = content.get("best") if isinstance(content, dict) else None
    if not name:
        raise StorageError(f"{index} names no best checkpoint", "run the training stage first")
    return folder_of(out_dir) / str(name)
