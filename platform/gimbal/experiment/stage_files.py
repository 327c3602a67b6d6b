"""The files of a finished stage by their hash, so that a later change of them is noticed.

Only the files a stage has directly in its folder, and only small ones: they hold its results. Data
blocks and checkpoints lie in folders of their own, with hashes of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from gimbal.experiment.files import TEMPORARY_MARK, storage_errors

MAX_BYTES = 8 << 20
"""Larger files are not hashed: committing a stage is to take no time."""
_REWRITTEN = frozenset({"stage.json", "packages.json", "manifest.json"})
"""`stage.json` holds the hashes. A data stage whose block was damaged is mended where it is, which
writes the other two again; its manifest is checked row by row instead (`data_fingerprint`)."""


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a stage's own files by name, sorted.

    Left out are hidden files, locks, links, files above `MAX_BYTES`, files that are written again
    later, and what cannot be read: a stage that ended well does not fail for it.

    Raises:
        StorageError: The folder cannot be read.
    """
    with storage_errors(folder, "read"):
        paths = sorted(folder.iterdir())
    found: dict[str, str] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            if _is_kept(path):
                found[path.name] = _sha256(path)
    return found


def altered_files(folder: Path, recorded: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each recorded file that is missing, unreadable or altered.

    Args:
        folder: The stage's folder.
        recorded: What `file_hashes` gave when the stage was finished.
    """
    for name, sha256 in recorded.items():
        path = folder / name
        try:
            now = _sha256(path) if path.is_file() else None
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}"
            continue
        if now is None:
            yield f"{path} is gone"
        elif now != sha256:
            yield (
                f"{path} was altered after its stage finished: its sha256 is {now[:12]}…, not "
                f"{sha256[:12]}…"
            )


def _is_kept(path: Path) -> bool:
    name = path.name
    if name in _REWRITTEN or name.startswith(".") or name.endswith(".lock"):
        return False
    if TEMPORARY_MARK in name or path.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size <= MAX_BYTES


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
