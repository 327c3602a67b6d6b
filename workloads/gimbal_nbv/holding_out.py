"""Which training objects are kept to validate on: whole families, the same for every stage."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32


def held_out(families: Mapping[str, str], share: float, seed: int) -> set[str]:
    """Return the objects kept for validation.

    Whole families are held out, single objects where there is only one family; at least one, and
    at least one is left to train on (a lone object validates nothing).

    Args:
        families: Family of each training object.
        share: Share of the families.
        seed: The experiment's seed.
    """
    if len(set(families.values())) < 2:
        families = {name: name for name in families}
    names = sorted(set(families.values()), key=lambda name: crc32(f"{seed}/{name}".encode()))
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    held = set(names[:count])
    return {name for name, family in families.items() if family in held}


def folds_of(families: Mapping[str, str], count: int, seed: int) -> dict[str, int]:
    """Deal whole families out to folds; return the fold of each object.

    Args:
        families: Family of each object.
        count: Folds; no more than there are families.
        seed: Decides the order in which families are dealt.
    """
    names = sorted(set(families.values()), key=lambda name: crc32(f"{seed}/{name}".encode()))
    fold = {name: place % count for place, name in enumerate(names)}
    return {name: fold[family] for name, family in families.items()}
