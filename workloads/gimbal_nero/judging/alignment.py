"""Scales between what is said and what is true, which photographs alone cannot tell.

Light twice as bright, or twice as red, on a surface half as bright, or half as red, is the same
photograph: a learnt albedo is right but for a factor of each channel, and a picture of it under a
known light as well. Three alignments are told of each: `raw` has none, `global` one factor of the
whole object, `channels` one for each of red, green and blue.

**The headline of albedo is `channels`**, as most papers have it: what it forgives cannot be known.
**The headline of relit pictures is `global`**, which is stricter: a wrong colour shows in them, and
only the exposure of a picture is anybody's choice.

A factor is s = argmin Σ (s · said - true)² over linear values, all points or all pictures together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

Alignment = Literal["raw", "global", "channels"]
ALIGNMENTS: tuple[Alignment, ...] = ("raw", "global", "channels")
ALBEDO_HEADLINE: Alignment = "channels"
RELIT_HEADLINE: Alignment = "global"


class Fit:
    """Sums of a least-squares fit, so that pictures can come one after another."""

    def __init__(self) -> None:
        self._products = np.zeros(3)
        self._squares = np.zeros(3)

    def add(self, said: Doubles, true: Doubles, used: Bools | None = None) -> None:
        """Take some colours into account.

        Args:
            said: [N, 3] linear.
            true: [N, 3] linear.
            used: [N, 3] values that count; None: all.
        """
        counted = said if used is None else np.where(used, said, 0.0)
        self._products += (counted * true).sum(0)
        self._squares += (counted * counted).sum(0)

    def scales(self) -> Mapping[Alignment, Doubles]:
        """Return the [3] factors of each alignment; 1 where all that is said is black."""
        ones = np.ones(3)
        whole = _ratio(self._products.sum(keepdims=True), self._squares.sum(keepdims=True))
        return {
            "raw": ones,
            "global": whole * ones,
            "channels": _ratio(self._products, self._squares),
        }


def _ratio(products: Doubles, squares: Doubles) -> Doubles:
    known = squares > 0
    return np.where(known, products / np.where(known, squares, 1.0), 1.0)
