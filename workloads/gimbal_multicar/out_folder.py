"""Folders that a command fills: what is in them is never overwritten silently."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_errors


def require_free(folder: Path, ours: Collection[str], *, what: str, force: bool) -> None:
    """Refuse a folder that holds anything; with `force`, anything that is not ours.

    Args:
        folder: Where a command is to write.
        ours: Names of the files that the command writes.
        what: What these are, for the message: `panorama`, `preview`.
        force: Whether an older one may be replaced.

    Raises:
        ConfigError: It is not empty, or no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: {folder} is a file", "name a folder")
    with storage_errors(folder, "read"):
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there and not force:
        raise ConfigError(
            f"--out: {folder} is not empty",
            f"name another folder, or replace the {what} in it with --force",
        )
    foreign = sorted(there - set(ours))
    if foreign:
        raise ConfigError(
            f"--out: {folder} holds files that are not the {what}'s: {', '.join(foreign[:5])}",
            "name another folder; --force replaces only what this command writes",
        )
