"""One archive of a run: what it was, what it measured and what it learnt.

    <run id>/config.yaml, provenance.json, run.json, report.html
    <run id>/stages/<stage>/…             every file of a stage's own folder, without its subfolders
    <run id>/stages/<stage>/checkpoints/  the index, the ledger, the best and the last checkpoint
    <run id>/MANIFEST.json, SHA256SUMS    the hash of every other file, as packed

The same run always gives the same bytes: names are sorted, owners and times are not the disk's.
Links are followed, but never out of the runs folder. User names and passwords in addresses of the
config or the command line are cut out of every text file. What was damaged is packed as it is, and
MANIFEST.json names it.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gimbal import __version__
from gimbal.errors import CannotTell, GimbalError
from gimbal.experiment.files import TEMPORARY_MARK, atomic_writer, storage_errors
from gimbal.experiment.provenance import without_credentials
from gimbal.experiment.run_folder import STATE_FILE
from gimbal.experiment.run_state import RunStatus
from gimbal.reproduction.packed_checkpoints import CHECKPOINTS, chosen, damage_in
from gimbal.reproduction.stored_run import StoredRun, StoredStage

MANIFEST = "MANIFEST.json"
SUMS = "SHA256SUMS"
_FORMAT = 1
_REPORT = "report.html"
_TEXT = frozenset({".json", ".jsonl", ".yaml", ".yml", ".html", ".txt", ".log"})
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^/\s@\"']*@")
_LEVEL = 6

Progress = Callable[[int, int], None]
"""Called with the bytes read and their total."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """An archive that was written.

    Attributes:
        path: The archive.
        files: SHA-256 of every file in it, by its name below the run's folder.
        size_bytes: Of the archive.
        left_out: Files that are not in it, each with the reason.
        damaged: Checkpoints and results that are in it as they are, but are not what the run wrote.
    """

    path: Path
    files: dict[str, str]
    size_bytes: int
    left_out: tuple[str, ...]
    damaged: tuple[str, ...] = ()


@dataclass(slots=True)
class _Contents:
    """What goes into an archive: files by name, and what cannot."""

    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    damaged: tuple[str, ...] = ()


def export_run(
    run: StoredRun, out: Path, *, data: bool = False, progress: Progress = lambda *_: None
) -> Packed:
    """Write a run's archive, whole or not at all.

    Args:
        run: The run; it must not be running.
        out: The archive, a new `.tar.gz` file.
        data: Add the data blocks and every other file in the stages' subfolders.
        progress: Told how far it is.

    Raises:
        CannotTell: The run's `run.json` or `config.yaml` is missing or damaged.
        GimbalError: The run is running, or `out` exists already.
        StorageError: A file cannot be read or the archive cannot be written.
    """
    if run.state is None or not run.folder.config_file.is_file():
        words = run.problems[0][1] if run.problems else f"{run.folder.config_file} is missing"
        raise CannotTell(words, "a run without its state and config cannot be exported")
    if run.state.status is RunStatus.RUNNING:
        raise GimbalError(f"run {run.folder.id} is running", "export it when it has ended")
    if out.exists():
        raise GimbalError(f"{out} exists already", "move it, or choose another --out")
    contents = contents_of(run, data=data)
    writer = _Writer(
        folder=run.folder.id,
        time=int(run.state.started_at.timestamp()),
        secrets=_secrets(run),
        progress=progress,
        total=sum(path.stat().st_size for path in contents.files.values()),
    )
    with atomic_writer(out) as file:
        hashes = writer.write(file, contents.files, _about(run, contents))
    return Packed(
        path=out,
        files=hashes,
        size_bytes=out.stat().st_size,
        left_out=tuple(contents.left_out),
        damaged=contents.damaged,
    )


def _about(run: StoredRun, contents: _Contents) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "run": run.folder.id,
        "experiment": run.state.experiment if run.state else "",
        "workload": run.state.workload if run.state else "",
        "gimbal": __version__,
        "problems": [f"{stage}: {words}" if stage else words for stage, words in run.problems],
        "left_out": contents.left_out,
        "damaged": contents.damaged,
    }


def contents_of(run: StoredRun, *, data: bool) -> _Contents:
    """Return the files that belong into a run's archive, by their name in it."""
    contents = _Contents(damaged=damage_in(run))
    root = Path(os.path.realpath(run.folder.path)).parents[1]
    for name in ("config.yaml", "provenance.json", STATE_FILE, _REPORT):
        _add(contents, root, name, run.folder.path / name)
    for stage in run.stages.values():
        for name, path in _files_of(stage, data=data):
            if path.name == _REPORT and _REPORT in contents.files:
                continue  # the run's own copy is the same page
            _add(contents, root, f"stages/{stage.name}/{name}", path)
    return contents


def _add(contents: _Contents, root: Path, name: str, path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        return
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        contents.left_out.append(f"{name}: it is a link out of the runs folder")
    elif not real.is_file():
        contents.left_out.append(f"{name}: it is no file")
    else:
        contents.files[name] = real


def _files_of(stage: StoredStage, *, data: bool) -> Iterator[tuple[str, Path]]:
    if not stage.path.is_dir():
        return
    for path in sorted(stage.path.iterdir()):
        if _is_hidden(path.name):
            continue
        if not path.is_dir():
            yield path.name, path
        elif path.name == CHECKPOINTS:
            yield from _checkpoints(path)
        elif data:
            yield from _below(path, path.name)


def _checkpoints(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not _is_hidden(path.name):
            yield f"{folder.name}/{path.name}", path
    for name in chosen(folder):
        yield from _below(folder / name, f"{folder.name}/{name}")


def _below(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for here, _, files in os.walk(folder):
        for file in sorted(files):
            path = Path(here, file)
            if not _is_hidden(file):
                yield f"{name}/{path.relative_to(folder).as_posix()}", path


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or TEMPORARY_MARK in name


def _secrets(run: StoredRun) -> dict[bytes, bytes]:
    """Return every address with a password that the run was told, and what is written instead."""
    found: dict[bytes, bytes] = {}
    for path in (run.folder.config_file, run.folder.path / STATE_FILE):
        with storage_errors(path, "read"):
            text = path.read_text("utf-8", "replace")
        for secret in _ADDRESS.findall(text):
            for told in (secret, html.escape(secret)):
                found[told.encode()] = without_credentials(told).encode()
    return found


@dataclass(slots=True)
class _Writer:
    folder: str
    time: int
    secrets: dict[bytes, bytes]
    progress: Progress
    total: int
    done: int = 0

    def write(
        self, file: IO[bytes], files: dict[str, Path], about: dict[str, Any]
    ) -> dict[str, str]:
        """Write the archive and return the hash of every file in it."""
        hashes: dict[str, str] = {}
        with (
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, path in sorted(files.items()):
                hashes[name] = self._add(tar, name, path)
            manifest = json.dumps({**about, "files": hashes}, indent=2, ensure_ascii=False) + "\n"
            sums = "".join(f"{digest}  {name}\n" for name, digest in hashes.items())
            self._add_bytes(tar, MANIFEST, manifest.encode())
            self._add_bytes(tar, SUMS, sums.encode())
        return hashes

    def _add(self, tar: tarfile.TarFile, name: str, path: Path) -> str:
        with storage_errors(path, "read"), path.open("rb") as file:
            if self.secrets and path.suffix in _TEXT:
                content = file.read()
                for secret, harmless in self.secrets.items():
                    content = content.replace(secret, harmless)
                self._tell(path.stat().st_size)
                return self._add_bytes(tar, name, content)
            reader = _Hashing(file, self._tell)
            tar.addfile(self._entry(name, os.fstat(file.fileno()).st_size), reader)
            return reader.hash.hexdigest()

    def _add_bytes(self, tar: tarfile.TarFile, name: str, content: bytes) -> str:
        tar.addfile(self._entry(name, len(content)), io.BytesIO(content))
        return hashlib.sha256(content).hexdigest()

    def _entry(self, name: str, size_bytes: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(f"{self.folder}/{name}")
        entry.size, entry.mtime, entry.mode = size_bytes, self.time, 0o644
        return entry

    def _tell(self, size_bytes: int) -> None:
        self.done += size_bytes
        self.progress(self.done, self.total)


class _Hashing(io.RawIOBase):
    """Reads a file for tarfile and hashes what is read."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        self._tell(len(data))
        return data
