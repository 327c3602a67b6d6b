"""Find the item that kills its worker process.

A native library can bring the process down on a hostile file, and Ray would start the task anew
for ever. Before each item the task notes which one it is at; the next attempt finds the note.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from gimbal.experiment.files import TEMPORARY_MARK

MAX_DEATHS = 3
"""Deaths on one item after which it is skipped; a few may be the machine's fault."""


class AttemptNote:
    """Which item a task is at, and how often each has killed its process before.

    Args:
        path: Where the note lies; reading one left behind counts a death.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._deaths: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            note = json.loads(path.read_bytes())
            self._deaths = dict(note["deaths"])
            self._deaths[note["item"]] = self._deaths.get(note["item"], 0) + 1

    def is_deadly(self, item_id: str) -> bool:
        """Whether an item has had its chances."""
        return self._deaths.get(item_id, 0) >= MAX_DEATHS

    def begin(self, item_id: str) -> None:
        """Note the item in work; not flushed to the disk, for only a process is expected to die."""
        temporary = self._path.with_name(f".{self._path.name}{TEMPORARY_MARK}{os.getpid()}")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps({"item": item_id, "deaths": self._deaths}))
            temporary.replace(self._path)

    def remove(self) -> None:
        """Forget all: the block is whole."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
