"""Remove runs, sweeps and the stages nothing else needs, as they were looked up.

A folder is renamed before it is emptied, so that a command killed half-way leaves no half run in
the list; links are removed as links.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gimbal.errors import GimbalError
from gimbal.experiment.files import storage_error, storage_errors
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.sweep_record import SweepFolder
from gimbal.reproduction.locking import try_lock
from gimbal.reproduction.removal_plan import (
    Removal,
    require_ended,
    require_sweep_ended,
    users_of_stages,
)
from gimbal.reproduction.worktree import remove as remove_worktree

_GOING = ".removing-"
_CLAIM = ".claim"
"""The lock by which a run or a sweep is taken over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What was removed.

    Attributes:
        folders: Runs and sweeps.
        stages: Stage folders.
        kept: Stage folders that stayed, with the reason.
    """

    folders: tuple[Path, ...]
    stages: tuple[Path, ...]
    kept: tuple[tuple[Path, str], ...]


def remove(plan: Removal) -> Removed:
    """Remove what was planned; a run that was taken up meanwhile stays, and ends the command.

    Raises:
        GimbalError: A run or sweep has started again since; everything removed until then is gone.
        StorageError: A folder cannot be removed.
    """
    folders = []
    with contextlib.ExitStack() as claims:
        for path in plan.sweeps:  # first: a sweep that goes on needs its trials
            claims.enter_context(_claimed_sweep(path))
        for path in plan.runs:
            _remove_run(path)
            folders.append(path)
        for path in plan.sweeps:
            _remove_folder(path)
            folders.append(path)
    for path in plan.reproductions:
        _remove_reproduction(path)
    stages, kept = [], list(plan.kept)
    for path in plan.stages:
        reason = _remove_stage(plan.runs_dir, path)
        if reason:
            kept.append((path, reason))
        else:
            stages.append(path)
    return Removed(folders=tuple(folders), stages=tuple(stages), kept=tuple(kept))


@contextlib.contextmanager
def _claimed_sweep(path: Path) -> Iterator[None]:
    """Keep a sweep from being resumed within the block."""
    with try_lock(path / _CLAIM) as held:
        if not held:
            raise GimbalError(
                f"sweep {path.name} is being resumed just now", "stop it first, then remove it"
            )
        require_sweep_ended(SweepFolder(path))
        yield


def _remove_run(path: Path) -> None:
    with try_lock(path / _CLAIM) as held:
        if not held:
            raise GimbalError(
                f"run {path.name} is being taken up again just now", "stop it first, then remove it"
            )
        require_ended(RunFolder(path))
        _remove_folder(path)


def _remove_reproduction(path: Path) -> None:
    for code in path.glob("code*"):
        remove_worktree(code, code)  # its repository must forget it, too
    _remove_folder(path)


def _remove_stage(root: Path, path: Path) -> str:
    """Remove a stage's folder, unless somebody builds or needs it; return why it stays."""
    short, _, _ = path.name.rpartition("-g")
    with try_lock(path.parent / f"{short}.lock") as held:
        if not held:
            return "it is being built"
        users = users_of_stages(root, set())
        if path in users:
            return f"{users[path]} uses it"
        _remove_folder(path)
        return ""


def _remove_folder(path: Path) -> None:
    """Rename, then empty: it is gone from every list at once."""
    leaving = path.with_name(f"{_GOING}{path.name}-{secrets.token_hex(4)}")
    with storage_errors(path, "remove"):
        path.rename(leaving)

    def failed(_function: object, where: str, error: BaseException) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise storage_error(error, where, "remove") from error

    shutil.rmtree(leaving, onerror=lambda function, where, info: failed(function, where, info[1]))
    _sweep_up(path.parent)


def _sweep_up(folder: Path) -> None:
    """Remove what a command that was killed left half removed, and an experiment left empty."""
    for left in folder.glob(f"{_GOING}*"):
        shutil.rmtree(left, ignore_errors=True)
    if not folder.parent.name.startswith("."):
        with contextlib.suppress(OSError):
            folder.rmdir()
