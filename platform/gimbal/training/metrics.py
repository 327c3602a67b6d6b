"""metrics.jsonl: one JSON object a line, written by a thread so that no step ever waits for a disk.

A line is `{"step": n, "time_s": t, "values": {name: number}}`: `step` counts finished optimizer
steps, `time_s` is Unix time in seconds. Non-finite numbers are written as null, since JSON has no
word for them. A resumed run first cuts the file back to its checkpoint.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_bytes, storage_error, storage_errors

METRICS_FILE = "metrics.jsonl"
_MAX_STEP = 1 << 53
"""Beyond it a float does not hold every step; no training comes near."""


class MetricsWriter:
    """Appends lines from a background thread.

    An error of the disk is raised by the next `put` or by `close`, in the training thread.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self._error: StorageError | None = None
        self._thread = threading.Thread(target=self._write, name="metrics", daemon=True)
        self._thread.start()

    def put(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over one line; returns at once.

        Raises:
            StorageError: If an earlier line could not be written.
        """
        self._raise()
        clean = {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
        self._lines.put(json.dumps({"step": step, "time_s": time.time(), "values": clean}))

    def flush(self) -> None:
        """Wait until everything handed over is in the file.

        Raises:
            StorageError: If it could not be written.
        """
        done = threading.Event()
        self._lines.put(done)
        done.wait()
        self._raise()

    def close(self) -> None:
        """Write what is left and end the thread."""
        if self._thread.is_alive():
            self._lines.put(None)
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while (item := self._lines.get()) is not None:
            batch: list[str] = []
            waiting: list[threading.Event] = []
            ends = self._gather(item, batch, waiting)
            try:
                if batch and self._error is None:
                    with self._path.open("a", encoding="utf-8") as file:
                        file.write("\n".join(batch) + "\n")
            except OSError as error:
                self._error = storage_error(error, self._path, "write")
            for event in waiting:
                event.set()
            if ends:
                return

    def _gather(
        self,
        item: str | threading.Event,
        batch: list[str],
        waiting: list[threading.Event],
    ) -> bool:
        """Take everything that is waiting; return whether the end was among it."""
        current: str | threading.Event | None = item
        while current is not None:
            if isinstance(current, str):
                batch.append(current)
            else:
                waiting.append(current)
            try:
                current = self._lines.get_nowait()
            except queue.Empty:
                return False
        return True


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a metrics file; a torn last line and damaged ones are left out.

    Every record has an integer `step` and a mapping `values`.

    Raises:
        StorageError: The file cannot be read.
    """
    yield from filter(None, map(_parsed, _lines(path)))


def damaged_lines(path: Path) -> Iterator[str]:
    """Yield a sentence for each line that `read_metrics` leaves out, but for a torn last one.

    Raises:
        StorageError: The file cannot be read.
    """
    for number, line in enumerate(_lines(path)[:-1], start=1):
        if _parsed(line) is None:
            yield f"{path.name} line {number} is damaged: it is no step with its values"


def _lines(path: Path) -> list[bytes]:
    """Return a file's lines and what stands after the last; none if there is no file."""
    with storage_errors(path, "read"):
        return path.read_bytes().split(b"\n") if path.exists() else []


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("values"), dict):
        return None
    step = record.get("step")
    return record if type(step) is int and 0 <= step <= _MAX_STEP else None  # no bool either


def cut_back(path: Path, step: int) -> None:
    """Drop every line after `step`, and a torn last line, in one atomic replacement.

    Raises:
        StorageError: If the file cannot be written; it is then as it was.
    """
    if not path.exists():
        return
    kept = [
        line
        for line in _lines(path)
        if (record := _parsed(line)) is not None and record["step"] <= step
    ]
    atomic_write_bytes(path, b"".join(line + b"\n" for line in kept))


class MetricsTail:
    """Follows a metrics file that another process writes.

    Args:
        path: The file; it may not exist yet and may be replaced by a shorter one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._inode = -1

    def new(self) -> list[dict[str, Any]]:
        """Return the whole lines added since the last call."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._offset, self._inode = 0, status.st_ino
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        records = map(_parsed, data[:whole].split(b"\n"))
        return [record for record in records if record is not None]
