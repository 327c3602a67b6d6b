"""The folder through which all processes see the same made-up lab.

began             when the lab began, Unix seconds: clock zero of its timeline
live.jsonl        what `FakeLab` did by hand, one event a line
lock              taken to change anything
NODE/own/PID.json memory our own process PID holds; a dead process's file counts for nothing
NODE/first/UUID   when a process of ours first held memory on that card
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_text, ensure_folder, storage_errors
from gimbal.experiment.process_identity import ProcessIdentity, this_process
from gimbal.scheduling.model import GpuUuid
from gimbal.testing.fake_lab_file import FakeEvent


class OwnProcess(BaseModel):
    """A process of ours and what it holds."""

    identity: ProcessIdentity
    name: str
    user: str
    held: dict[str, int] = {}
    peak: dict[str, int] = {}


class _Live(BaseModel):
    node: str
    event: FakeEvent


class FakeLabState:
    """Reads and writes the folder, for one node of the lab."""

    def __init__(self, folder: str | os.PathLike[str], node: str) -> None:
        self.folder = Path(folder)
        self.node = node
        self._own = ensure_folder(self.folder / node / "own")
        self._first = ensure_folder(self.folder / node / "first")

    def began(self, now: float) -> float:
        """Return when the lab began: now, if nobody has opened it before."""
        return _write_once(self.folder / "began", now)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from changing the folder."""
        path = self.folder / "lock"
        with storage_errors(path, "lock"), path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def append(self, event: FakeEvent) -> None:
        """Add something that happened by hand; every process sees it from now on."""
        line = _Live(node=self.node, event=event).model_dump_json(by_alias=True) + "\n"
        path = self.folder / "live.jsonl"
        with self.locked(), storage_errors(path, "write"), path.open("a") as file:
            file.write(line)

    def live(self) -> list[FakeEvent]:
        """Return what happened by hand on this node, in that order."""
        path = self.folder / "live.jsonl"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        # The last line may be half written by now: without its end it has not happened yet.
        lines = text.split("\n")[:-1]
        try:
            entries = [_Live.model_validate_json(line) for line in lines]
        except ValidationError as error:
            raise StorageError(f"{path} is damaged: {error}", "remove the file") from error
        return [entry.event for entry in entries if entry.node == self.node]

    def own(self) -> list[OwnProcess]:
        """Return our processes on this node that live."""
        found = (self._read(path) for path in sorted(self._own.glob("*.json")))
        return [process for process in found if process is not None and process.identity.lives()]

    def own_entry(self, pid: int) -> OwnProcess | None:
        """Return what a process of ours holds, dead or alive; None: it never held anything."""
        return self._read(self._own / f"{pid}.json")

    def hold(self, uuid: GpuUuid, held_bytes: int, now: float) -> None:
        """Write down what the calling process holds on a card; call it locked."""
        identity = this_process()
        entry = self.own_entry(identity.pid)
        if entry is None or entry.identity != identity:
            me = psutil.Process()
            entry = OwnProcess(identity=identity, name=me.name(), user=me.username())
        entry.held[uuid] = held_bytes
        entry.peak[uuid] = max(held_bytes, entry.peak.get(uuid, 0))
        atomic_write_text(self._own / f"{identity.pid}.json", entry.model_dump_json())
        _write_once(self._first / uuid, now)

    def first_ours(self, uuid: GpuUuid) -> float | None:
        """Return when a process of ours first held memory on a card; None: none ever did."""
        try:
            return float((self._first / uuid).read_text())
        except FileNotFoundError:
            return None

    def _read(self, path: Path) -> OwnProcess | None:
        try:
            return OwnProcess.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StorageError(f"{path} is damaged: {error}", "remove the file") from error


def _write_once(path: Path, value: float) -> float:
    """Write a number unless one is there, and return the one that is there."""
    if not path.exists():
        whole = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        with storage_errors(path, "write"):
            whole.write_text(repr(value))
            try:
                # A link is made only if no file has that name, and shows a whole file at once.
                path.hardlink_to(whole)
            except FileExistsError:
                pass
            finally:
                whole.unlink()
    with storage_errors(path, "read"):
        return float(path.read_text())
