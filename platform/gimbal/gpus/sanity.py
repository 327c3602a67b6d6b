"""Which process lists of a driver can be believed.

Some drivers and libraries disagreed on the layout of the list (535.43 to 535.98 with older
bindings): ids became 0 or 2³²−1 and memory stood in the wrong column. A list that cannot be is
better not had at all: the card's own count of used memory is right all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from gimbal.gpus.model import ProcessUse
from gimbal.gpus.words import GIB

_PIDS = range(1, 2**31)


def is_possible_pid(pid: int) -> bool:
    """Return whether a process can have this id."""
    return pid in _PIDS


def plausible(
    uses: Iterable[ProcessUse], *, total_bytes: int | None, used_bytes: int | None
) -> tuple[ProcessUse, ...] | None:
    """Return the entries that can be, each process once; None: the list is nonsense as a whole.

    Args:
        uses: The entries; a process may stand in several lists (compute, graphics, MPS).
        total_bytes: All memory of the card; None: unknown.
        used_bytes: Memory in use by the card's own count; None: unknown.
    """
    merged: dict[int, ProcessUse] = {}
    for use in uses:
        impossible = (
            total_bytes is not None and use.used_bytes is not None and use.used_bytes > total_bytes
        )
        if impossible or not is_possible_pid(use.pid):
            continue
        known = merged.get(use.pid)
        if known is None or (known.used_bytes or 0) < (use.used_bytes or 0):
            merged[use.pid] = use
    together = sum(use.used_bytes or 0 for use in merged.values())
    if used_bytes is not None and together > used_bytes + _slack_bytes(total_bytes):
        return None
    return tuple(merged.values())


def _slack_bytes(total_bytes: int | None) -> int:
    """List and count are read one after the other: a process may grow in between."""
    return max(GIB, (total_bytes or 0) // 20)


def executable_name(command: str) -> str:
    """Return the executable's name of a command line, without folder and arguments."""
    words = command.split()
    if not words or command.strip().lower() in ("[not found]", "n/a", "-"):
        return ""
    name = words[0].replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in name if letter.isprintable())[:64]
