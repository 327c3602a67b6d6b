"""Where a run is reproduced: `<runs>/.reproduced/<run id>-<n>/`, one at a time for each run.

    reproduction.json   who works on it, and whether it ended
    code/               the worktree, only while it works (or with `--keep`)
    runs/               a runs folder of its own, so that nothing is taken from finished stages

One that was killed is continued in the same folder: the run in it is resumed like any other.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment.files import atomic_write_json, ensure_folder, read_json
from gimbal.experiment.process_identity import ProcessIdentity, this_process
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction.locking import try_lock

FOLDER = ".reproduced"
_RECORD = "reproduction.json"
_LOCK_S = 10.0


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    workers: tuple[ProcessIdentity, ...] = ()
    """The command and the run it started."""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one reproduction.

    Attributes:
        path: The folder.
        continued: An earlier attempt began here and was stopped.
    """

    path: Path
    continued: bool = False

    @property
    def code(self) -> Path:
        """Where the first worktree goes; further ones are numbered."""
        return self.path / "code"

    @property
    def runs(self) -> Path:
        """The runs folder of the reproduction."""
        return self.path / "runs"

    def note_child(self, child: ProcessIdentity) -> None:
        """Record the process that runs the reproduction, should this one be killed."""
        record = _read(self.path)
        if record is not None:
            _write(self.path, record.model_copy(update={"workers": (this_process(), child)}))

    def end(self, *, ended: bool) -> None:
        """Record that nobody works here any more.

        Args:
            ended: It is done; otherwise the next attempt goes on here.
        """
        record = _read(self.path)
        if record is not None:
            _write(self.path, record.model_copy(update={"workers": (), "ended": ended}))

    def discard(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def claimed_place(runs_dir: Path, run: RunFolder) -> Iterator[Place]:
    """Hold a place to reproduce a run in; the one of a stopped attempt, else a new one.

    Raises:
        GimbalError: Another process reproduces the same run just now.
        StorageError: The folder cannot be written.
    """
    root = ensure_folder(runs_dir / FOLDER)
    with try_lock(root / f".{run.id}.lock", _LOCK_S) as held:
        if not held:
            raise GimbalError(f"{root} is busy", "try again in a moment")
        place = _choose(root, run)
        record = _Record(run=str(run.path.absolute()), workers=(this_process(),))
        _write(ensure_folder(place.path), record)
    try:
        yield place
    finally:
        if place.path.exists():
            with contextlib.suppress(StorageError):
                place.end(ended=_ended(place.path))


def places_of(runs_dir: Path, run_id: str) -> list[Path]:
    """Return the folders in which a run was reproduced, those in use left out."""
    return [
        path
        for path in sorted((runs_dir / FOLDER).glob(f"{run_id}-*"))
        if _number(path, run_id) > 0
        and not ((record := _read(path)) and any(process.lives() for process in record.workers))
    ]


def _choose(root: Path, run: RunFolder) -> Place:
    numbered = sorted((_number(path, run.id), path) for path in root.glob(f"{run.id}-*"))
    for number, path in reversed(numbered):
        record = _read(path)
        if number < 0 or record is None or record.ended:
            continue
        if working := [process for process in record.workers if process.lives()]:
            raise GimbalError(
                f"run {run.id} is being reproduced already, by {working[0]} in {path}",
                "wait for it, or end that process; then run the same command again",
            )
        return Place(path, continued=True)
    last = max((number for number, _ in numbered), default=0)
    return Place(root / f"{run.id}-{max(last, 0) + 1}")


def _number(path: Path, run_id: str) -> int:
    found = re.fullmatch(rf"{re.escape(run_id)}-(\d+)", path.name)
    return int(found[1]) if found else -1


def _ended(path: Path) -> bool:
    record = _read(path)
    return record is not None and record.ended


def _read(path: Path) -> _Record | None:
    try:
        return _Record.model_validate(read_json(path / _RECORD))
    except (StorageError, ValidationError):
        return None


def _write(path: Path, record: _Record) -> None:
    atomic_write_json(path / _RECORD, record.model_dump(mode="json"))
