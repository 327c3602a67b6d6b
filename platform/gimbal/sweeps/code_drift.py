"""Notices that a sweep would go on with other code than it began with.

Every start leaves a `code-<start>.json` of its own, so that each trial can say what it was made of.
Trials of different code answer different questions, so going on with new code has to be allowed.
"""

from __future__ import annotations

from gimbal.errors import Drift, StaleCode, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.freshness import code_digest
from gimbal.experiment.sweep_record import SweepFolder

_DIGITS = 12


def code_file(start: int) -> str:
    """Return the name of the file that says which code a start of a sweep ran."""
    return f"code-{start}.json"


def drift_of(folder: SweepFolder, start: int, *, allowed: bool) -> str:
    """Return a sentence if the code here is not that of earlier starts; empty: it is.

    Code that an earlier start went on with counts as known: that drift is on record. A sweep whose
    starts left no word of their code cannot drift.

    Args:
        folder: The sweep.
        start: The start to come.
        allowed: Do not refuse.

    Raises:
        Drift: It is other code, and that is not allowed.
    """
    known = [found for past in range(1, start) if (found := _code(folder, past))]
    if not known:
        return ""
    packages, digest = known[-1]
    here = _digest(packages)
    if here in [digest for _, digest in known]:
        return ""
    names = ", ".join(packages)
    words = f"start {start}: the code of {names} is {here[:_DIGITS]}, it was {digest[:_DIGITS]}"
    if not allowed:
        raise Drift(
            f"the code of {names} has changed since {folder.path} last ran: "
            f"{digest[:_DIGITS]} → {here[:_DIGITS]}",
            "take the change back, add --allow-drift to mix both and have that recorded, or start "
            "a new sweep: drop --resume",
        )
    return words


def _code(folder: SweepFolder, start: int) -> tuple[tuple[str, ...], str] | None:
    try:
        code = read_json(folder.path / code_file(start))
        return tuple(sorted(code["packages"])), str(code["digest"])
    except (StorageError, KeyError, TypeError):
        return None


def _digest(packages: tuple[str, ...]) -> str:
    try:
        return code_digest(packages)
    except StaleCode:
        return "not there"
