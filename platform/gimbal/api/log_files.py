"""An attempt's log on disk, read piece by piece and never outside the runs folder.

The job writes the file, so it is not trusted: it may be a link or a pipe by now, and may end in the
middle of a line or a character.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gimbal.api.text import CONTEXT_BYTES, blanked, cleaned_lines
from gimbal.jobs.attempt_files import attempt_folder
from gimbal.scheduling.model import JobId

_PIECE_BYTES = 64 * 1024
_LINE_ENDS = (b"\n", b"\r")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Whole lines of a log, and the offset after them."""

    lines: tuple[str, ...]
    offset: int


def open_log(runs_dir: Path, job_id: JobId, number: int) -> BinaryIO | None:
    """Open the log of an attempt.

    Args:
        runs_dir: The folder of all runs.
        job_id: An existing job.
        number: The attempt.

    Returns:
        The file; None where there is none yet, or nothing that may be read.
    """
    path = attempt_folder(runs_dir, job_id, number).log
    try:
        if not path.parent.resolve(strict=True).is_relative_to(runs_dir.resolve()):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb", buffering=0)


def size_of(file: BinaryIO) -> int:
    """Return how many bytes an open log has now."""
    return os.fstat(file.fileno()).st_size


def pieces(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield `[start, end)` of a log, made harmless and as long as it is; then close the file."""
    with file:
        for first in range(start, end, _PIECE_BYTES):
            last = min(first + _PIECE_BYTES, end)
            before = max(first - CONTEXT_BYTES, 0)
            window = os.pread(file.fileno(), last + CONTEXT_BYTES - before, before)
            yield blanked(window, first - before, last - before)


def next_lines(
    runs_dir: Path, job_id: JobId, number: int, offset: int, *, ended: bool
) -> Lines | None:
    """Return the whole lines that follow `offset`.

    Args:
        runs_dir: The folder of all runs.
        job_id: An existing job.
        number: The attempt.
        offset: Where to go on, in bytes.
        ended: Whether the attempt has ended: a line without an end is whole then.

    Returns:
        Some lines; None: there are none now.
    """
    file = open_log(runs_dir, job_id, number)
    if file is None:
        return None
    with file:
        raw = os.pread(file.fileno(), _PIECE_BYTES, offset)
    whole = _whole(raw, ended and len(raw) < _PIECE_BYTES)
    return Lines(lines=tuple(cleaned_lines(whole)), offset=offset + len(whole)) if whole else None


def _whole(raw: bytes, all_of_it: bool) -> bytes:
    """Return the part of `raw` that ends with a line, or with a character in a very long one."""
    if all_of_it:
        return raw
    # A `\r` at the very end may be half of `\r\n`.
    end = max(raw.rfind(_LINE_ENDS[0]), raw.rfind(_LINE_ENDS[1], 0, len(raw) - 1)) + 1
    if end or len(raw) < _PIECE_BYTES:
        return raw[:end]
    cut = len(raw)
    while cut > len(raw) - 4 and raw[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    return raw[: cut - 1] if raw[cut - 1] >= 0xC0 else raw
