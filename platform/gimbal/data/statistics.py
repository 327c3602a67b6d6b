"""Minimum, maximum, mean and deviation of a column, computed in parts and merged.

Moments are merged by the pairwise update of Chan, Golub and LeVeque (1979) in float64, always in
the order of the blocks, so a manifest does not depend on which worker finished first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

CHUNK = 1 << 15
"""Numbers converted to float64 at once: 256 KiB, which stays in the core's own cache."""


class ColumnStatistics(BaseModel):
    """What is known of one numeric column; all but the counts are over its finite numbers.

    `minimum`, `maximum`, `mean` and `std` are None where there is no finite number. `std` is the
    population's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = 0
    nan: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    m2: float | None = None
    """Sum of squared distances from the mean."""

    @property
    def finite(self) -> int:
        """How many numbers are neither NaN nor infinite."""
        return self.count - self.nan - self.infinite

    @property
    def std(self) -> float | None:
        """Standard deviation of the finite numbers."""
        return None if self.m2 is None else math.sqrt(self.m2 / self.finite)

    def summary(self) -> dict[str, float | int | None]:
        """Return what a manifest shows; a moment that overflows float64 is None."""
        shown = {
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "std": self.std,
        }
        finite = {
            key: v if v is not None and math.isfinite(v) else None for key, v in shown.items()
        }
        return {**finite, "count": self.count, "nan": self.nan, "infinite": self.infinite}


def measure(values: NDArray[np.generic]) -> ColumnStatistics:
    """Measure an array of any shape and any numeric or bool type."""
    flat = np.ravel(values)
    if flat.dtype == np.bool_:
        flat = flat.view(np.uint8)
    if flat.dtype == np.uint8:
        return _measure_bytes(flat)
    return merge(_measure_chunk(flat[i : i + CHUNK]) for i in range(0, flat.size, CHUNK))


def _measure_bytes(flat: NDArray[np.generic]) -> ColumnStatistics:
    """Exact moments from the histogram of the 256 values."""
    if not flat.size:
        return ColumnStatistics()
    counts = sum(
        (np.bincount(flat[i : i + CHUNK], minlength=256) for i in range(0, flat.size, CHUNK)),
        start=np.zeros(256, np.int64),
    )
    levels = np.arange(256)
    present = np.flatnonzero(counts)
    mean = float(counts @ levels) / flat.size
    return ColumnStatistics(
        count=flat.size,
        minimum=float(present[0]),
        maximum=float(present[-1]),
        mean=mean,
        m2=float(counts @ np.square(levels - mean)),
    )


def _measure_chunk(part: NDArray[np.generic]) -> ColumnStatistics:
    """Measure one cache-sized piece; the common case has no NaN and pays for no mask."""
    numbers = part.astype(np.float64)
    nan = infinite = 0
    if not math.isfinite(float(numbers.sum())):
        nan = int(np.isnan(numbers).sum())
        finite = np.isfinite(numbers)
        infinite = numbers.size - int(finite.sum()) - nan
        numbers = numbers[finite]
    if not numbers.size:
        return ColumnStatistics(count=part.size, nan=nan, infinite=infinite)
    low, high = float(numbers.min()), float(numbers.max())
    mean = float(numbers.mean())
    numbers -= mean
    with np.errstate(over="ignore"):  # numbers near the end of float64: `summary` leaves m2 out
        m2 = float(numbers @ numbers)
    return ColumnStatistics(
        count=part.size,
        nan=nan,
        infinite=infinite,
        minimum=low,
        maximum=high,
        mean=mean,
        m2=m2,
    )


def merge(parts: Iterable[ColumnStatistics]) -> ColumnStatistics:
    """Merge statistics of disjoint parts, in the order given."""
    count = nan = infinite = n = 0
    mean = m2 = 0.0
    low, high = math.inf, -math.inf
    for part in parts:
        count, nan, infinite = count + part.count, nan + part.nan, infinite + part.infinite
        if part.mean is None or part.m2 is None or part.minimum is None or part.maximum is None:
            continue
        n += part.finite
        delta = part.mean - mean
        share = part.finite / n
        mean += delta * share
        m2 += part.m2 + delta * delta * (n - part.finite) * share
        low, high = min(low, part.minimum), max(high, part.maximum)
    if not n:
        return ColumnStatistics(count=count, nan=nan, infinite=infinite)
    return ColumnStatistics(
        count=count, nan=nan, infinite=infinite, minimum=low, maximum=high, mean=mean, m2=m2
    )
