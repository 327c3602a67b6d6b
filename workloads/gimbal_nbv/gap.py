"""The headline: how much of the way from `farthest` to the oracle a policy goes.

Objects are drawn again with replacement, the same draw for all policies (a paired bootstrap), so
that how hard an object is cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST = 2
"""Objects below which an interval has no width and says nothing."""
ONE_OBJECT = "One object: its intervals have no width and say nothing about others."

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its 95 % bootstrap interval over objects; see `FEWEST`."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | list[float]]:
        """Return `{"value": ..., "ci95": [low, high]}`."""
        return {"value": self.value, "ci95": [self.low, self.high]}


def gap_closed(
    policy: ArrayLike,
    farthest: ArrayLike,
    oracle: ArrayLike,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return (mean policy - mean farthest) / (mean oracle - mean farthest).

    Args:
        policy: AUC of the policy on each object [O].
        farthest: AUC of `farthest` on the same objects.
        oracle: AUC of the coverage oracle on the same objects.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The ratio, 0 where the oracle gains nothing over `farthest`, and its percentile interval.
    """
    p, f, o = (np.asarray(values, dtype=np.float64) for values in (policy, farthest, oracle))
    return _interval(lambda index: _ratio((p - f)[index], (o - f)[index]), len(p), draws, seed)


def difference(
    policy: ArrayLike, other: ArrayLike, *, draws: int = 10_000, seed: int = 0
) -> Interval:
    """Return the mean of policy - other over objects, with its paired interval."""
    delta = np.asarray(policy, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return _interval(lambda index: delta[index].mean(axis=-1), len(delta), draws, seed)


def _ratio(won: Values, possible: Values) -> Values:
    total = possible.mean(axis=-1)
    safe = np.where(total > 1e-12, total, 1.0)
    return np.asarray(np.where(total > 1e-12, won.mean(axis=-1) / safe, 0.0))


def _interval(
    statistic: Callable[[NDArray[np.int64]], Values], count: int, draws: int, seed: int
) -> Interval:
    index = np.random.default_rng(seed).integers(count, size=(draws, count))
    low, high = np.percentile(statistic(index), [2.5, 97.5])
    return Interval(value=float(statistic(np.arange(count))), low=float(low), high=float(high))
