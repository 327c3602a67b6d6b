"""Guess what was meant: the nearest right name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ENOUGH = 0.6


def nearest(wrong: str, right: Iterable[str], count: int = 3) -> list[str]:
    """Return the right names most like a wrong one, the best first; none if none is close."""
    return difflib.get_close_matches(wrong, list(right), n=count, cutoff=_ENOUGH)


def did_you_mean(wrong: str, right: Iterable[str]) -> str:
    """Return `did you mean x?`, or nothing where no name is close."""
    found = nearest(wrong, right)
    return f"did you mean {' or '.join(found[:2])}?" if found else ""


def nearest_key(wrong: str, right: Iterable[str], count: int = 2) -> list[str]:
    """Return the dotted keys most like a wrong one, the best first.

    A key is also near when only its last part is: `mesh` finds `data.meshes`. Among equals, one
    in the same section wins.
    """
    section, _, last = wrong.rpartition(".")

    def score(key: str) -> float:
        its_section, _, its_last = key.rpartition(".")
        whole = difflib.SequenceMatcher(None, wrong, key).ratio()
        end = difflib.SequenceMatcher(None, last, its_last).ratio()
        return max(whole, end + (0.05 if its_section == section else 0.0))

    scored = sorted(((score(key), key) for key in right), key=lambda pair: (-pair[0], pair[1]))
    return [key for value, key in scored[:count] if value >= _ENOUGH]
