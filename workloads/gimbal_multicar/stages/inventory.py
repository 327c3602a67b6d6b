"""What files each car has at each moment, as a short hash: names, sizes and times.

The content of hundreds of gigabytes is never read to see whether it changed. As with `make`, a file
of another size or time (in whole seconds) counts as another file, so copy a data set with its times
(`cp -a`, `rsync -a`, unpacking an archive). Each folder is listed once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gimbal_multicar.opv2v.model import CarFrameId

_END_OF_FRAME = re.compile(r"[._]")

Files = tuple[tuple[str, int, int], ...]
"""Name, bytes and whole seconds of each file, by name."""


class Inventory:
    """The files of car-frames.

    Args:
        roots: Folders laid out `split/scenario/agent`; what one of them lacks is no error.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._folders: dict[tuple[str, str, str], dict[str, Files]] = {}

    def digest(self, frame: CarFrameId) -> str:
        """Return 16 hex digits that change when a file of this car and moment changes."""
        key = (frame.split, frame.scenario, frame.agent)
        if key not in self._folders:
            self._folders[key] = self._list(Path(*key))
        files = self._folders[key].get(frame.frame, ())
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]

    def _list(self, folder: Path) -> dict[str, Files]:
        found: dict[str, list[tuple[str, int, int]]] = {}
        for number, root in enumerate(self._roots):
            for name, size, seconds in _entries(root / folder):
                frame = _END_OF_FRAME.split(name, maxsplit=1)[0]
                found.setdefault(frame, []).append((f"{number}/{name}", size, seconds))
        return {frame: tuple(sorted(files)) for frame, files in found.items()}


def _entries(folder: Path) -> Iterator[tuple[str, int, int]]:
    try:
        entries = os.scandir(folder)
    except OSError:  # whoever reads a frame of it says what is wrong
        return
    with entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # a dangling link, likewise
                yield entry.name, -1, 0
                continue
            yield entry.name, status.st_size, int(status.st_mtime)
