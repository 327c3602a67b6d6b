"""Intervals and errors that several diagnostics need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

CERTAIN = 1e9
"""Standard errors of a mean whose values are all alike: more than any measurement has, and finite,
so that a check does not take certainty for a failed measurement."""


def wilson(wins: int, trials: int, z: float = Z95) -> tuple[float, float] | None:
    """Return Wilson's score interval of a share, or None without trials.

    Unlike the plain normal interval it stays within [0, 1] and is right near the ends, where win
    rates of an easy test lie (E. B. Wilson, JASA 22, 1927).

    Args:
        wins: Successes.
        trials: Trials.
        z: Quantile; 1.96 for 95 %.
    """
    if trials == 0:
        return None
    share = wins / trials
    centre = share + z * z / (2 * trials)
    reach = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean over objects and how sure it is.

    Attributes:
        value: The mean.
        error: Its standard error; None below two objects.
        count: Objects.
    """

    value: float
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float] | Values) -> Mean:
        """Average one number an object."""
        array = np.asarray(values, dtype=np.float64)
        error = float(array.std(ddof=1) / math.sqrt(len(array))) if len(array) > 1 else None
        return cls(value=float(array.mean()), error=error, count=len(array))

    @property
    def in_errors(self) -> float | None:
        """The mean in standard errors from zero, at most `CERTAIN`; None below two objects."""
        if self.error is None:
            return None
        if self.error == 0.0:
            return math.copysign(CERTAIN, self.value) if self.value else 0.0
        return float(np.clip(self.value / self.error, -CERTAIN, CERTAIN))

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Student's 95 % interval; None below two objects."""
        from scipy.stats import t

        if self.error is None:
            return None
        reach = float(t.ppf(0.975, self.count - 1)) * self.error
        return self.value - reach, self.value + reach


def share(flags: NDArray[np.bool_]) -> float:
    """Return the share of true entries; 0 without entries."""
    return float(flags.mean()) if flags.size else 0.0
