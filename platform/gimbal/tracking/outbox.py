"""The file in which a run's records wait for MLflow: `<run>/tracking/outbox.jsonl`.

Writing is one `write` of one line to a file opened for appending, so it costs microseconds, needs
no server and survives the process being killed. It is not forced to the disk: after a power cut
the last seconds may be missing from MLflow, never from the run folder, which holds the originals.
The file is kept whole after delivery, so that a run can be told to another MLflow from the start.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gimbal.tracking.records import AnyRecord, Record, from_line, to_line

FOLDER = "tracking"
FILE = "outbox.jsonl"
_CHUNK_BYTES = 1 << 20


def folder(run_dir: Path) -> Path:
    """Return where a run keeps everything about its tracking."""
    return run_dir / FOLDER


def outbox_file(run_dir: Path) -> Path:
    """Return the run's outbox."""
    return folder(run_dir) / FILE


class Outbox:
    """Appends records; safe from several threads of one process.

    Args:
        run_dir: The run folder.

    Raises:
        OSError: The file cannot be opened for writing.
    """

    def __init__(self, run_dir: Path) -> None:
        path = outbox_file(run_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self._torn = _ends_torn(self._fd)
        self.path = path

    def append(self, record: Record) -> None:
        """Write one record.

        Raises:
            OSError: It could not be written (full disk); a later call may succeed.
        """
        line = to_line(record)
        with self._lock:
            if self._torn:
                line = b"\n" + line
            self._torn = True
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(None, "the disk took only part of a record", str(self.path))
            self._torn = False

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A line of an outbox.

    Attributes:
        record: What it says; None for a line that could not be read.
        end: Byte offset just after it.
    """

    record: AnyRecord | None
    end: int


def read_entries(path: Path, offset: int) -> Iterator[Entry]:
    """Yield the complete lines after a byte offset; nothing where there is no file.

    A line torn by a crash is yielded without a record, so that it is stepped over once.

    Raises:
        OSError: The file exists and cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield Entry(record=_parse(line), end=offset)


def count_lines(path: Path, offset: int) -> int:
    """Return how many complete lines follow a byte offset."""
    lines = 0
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK_BYTES):
                lines += chunk.count(b"\n")
    except OSError:
        return lines
    return lines


def _parse(line: bytes) -> AnyRecord | None:
    try:
        return from_line(line)
    except ValueError:
        return None


def _ends_torn(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"
