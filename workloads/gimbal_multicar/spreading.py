"""A few items that stand for many, spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


def spread(items: Sequence[_T], count: int, *, seed: int | None = None) -> list[_T]:
    """Return at most `count` items in order, one of each of as many equal parts.

    Args:
        items: All of them.
        count: How many at most.
        seed: Draws one of each part, so that no rhythm of the items can hide anything; without
            it each part's middle is taken.
    """
    if len(items) <= count:
        return list(items)
    parts = list(pairwise(np.linspace(0, len(items), count + 1).astype(int).tolist()))
    if seed is None:
        return [items[(low + high - 1) // 2] for low, high in parts]
    rng = np.random.default_rng(seed)
    return [items[int(rng.integers(low, high))] for low, high in parts]
