"""The statistics of a comparison: intervals from resampling, a paired test, Holm's correction.

Samples are resampled; seeds are not. Two or three seeds cannot stand for their distribution, and a
bootstrap over them is far too narrow. Where there are several, each draw of the bootstrap over
samples is therefore moved by Student's t with (seeds - 1) degrees times the standard error between
seeds, which is exact for normal seed effects and tends to the plain bootstrap when seeds agree.

A sample test alone would call two lucky seeds of one config a difference: where there are several
seeds, p also counts the spread between them (`combined_p`).

All functions are deterministic: the draws come from a fixed seed, shared by all groups, so that
equal groups have equal intervals.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DRAWS = 10_000
FLIPS = 99_999
EXACT_SAMPLES = 14
"""Up to so many samples every pattern of signs is tried."""
_SEED = 20_261_126
_CHUNK = 16_384
_QUADRATURE = 2_000
_NORMAL = NormalDist().inv_cdf(0.975)


@functools.lru_cache(maxsize=8)
def sample_weights(count: int, draws: int = DRAWS) -> Floats:
    """Return how often each of `count` samples is drawn, [draws, count]: a bootstrap's weights."""
    rng = np.random.default_rng([_SEED, count])
    return rng.multinomial(count, np.full(count, 1.0 / count), size=draws).astype(np.float64)


def t_quantile(p: float, degrees: float) -> float:
    """Return a quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, p))


def resampled(values: ArrayLike, over: ArrayLike | None = None) -> Floats:
    """Return bootstrap draws of sum(values) / sum(over), averaged over rows.

    Args:
        values: [rows, samples]; all rows get the same draws of samples.
        over: As `values`; none: ones, which makes it a mean.
    """
    numerators = np.atleast_2d(np.asarray(values, dtype=np.float64))
    below = np.ones_like(numerators) if over is None else np.atleast_2d(np.asarray(over))
    weights = sample_weights(numerators.shape[1])
    if (below == below[0]).all():  # the mean of the rows' ratios is the ratio of the mean
        numerators, below = numerators.mean(axis=0, keepdims=True), below[:1]
    sums = weights @ numerators.T
    if (below == below[0, 0]).all():
        return np.asarray(sums.mean(axis=1) / (below[0, 0] * below.shape[1]))
    totals = weights @ below.T
    ratios = sums / np.where(totals > 0, totals, np.nan)
    return np.asarray(ratios.mean(axis=1))


def seed_shift(by_seed: ArrayLike, stream: int) -> Floats:
    """Return draws of how far other seeds would move a mean over seeds.

    Args:
        by_seed: One number a seed; fewer than two: no shift is known, and it is 0.
        stream: Groups of different streams are moved independently.
    """
    means = np.asarray(by_seed, dtype=np.float64)
    if len(means) < 2:
        return np.zeros(DRAWS)
    return _t_draws(len(means) - 1, stream) * standard_error(means)


def standard_error(values: Floats) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def combined_p(value: float, samples: tuple[float, int], seeds: Sequence[Floats]) -> float:
    """Return the two-sided p value of a difference that samples and seeds both make uncertain.

    It is the chance that a sum of two Student's t, each scaled by its standard error, lies as far
    out: the tail of the distribution the interval is taken from. Satterthwaite's single t would be
    quicker but is too bold when few seeds happen to agree.

    Args:
        value: The difference.
        samples: Standard error over samples and its degrees of freedom.
        seeds: What each seed makes of the difference, or of each of two groups.
    """
    from scipy.special import stdtr

    errors = [standard_error(part) for part in seeds]
    error = math.hypot(*errors)
    below = sum(e**4 / (len(part) - 1) for e, part in zip(errors, seeds, strict=True))
    degrees = error**4 / below if below > 0 else 1.0
    moved = samples[0] * _t_midpoints(samples[1])
    if error == 0:
        return float((np.abs(moved) >= abs(value)).mean())
    above = stdtr(degrees, (moved - abs(value)) / error)
    under = stdtr(degrees, (-abs(value) - moved) / error)
    return float(min(1.0, (above + under).mean()))


@dataclass(frozen=True, slots=True)
class TResult:
    """A mean over seeds with its 95 % t interval, and the p value of its being 0."""

    value: float
    low: float
    high: float
    p: float


def t_result(by_seed: ArrayLike) -> TResult | None:
    """Return the mean over seeds; None for fewer than two seeds."""
    means = np.asarray(by_seed, dtype=np.float64)
    if len(means) < 2:
        return None
    return _t_result(float(means.mean()), standard_error(means), len(means) - 1)


def welch(first: ArrayLike, second: ArrayLike) -> TResult | None:
    """Return the difference of two means over seeds; None for fewer than two seeds in either."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(a), len(b)) < 2:
        return None
    squares = standard_error(a) ** 2, standard_error(b) ** 2
    below = squares[0] ** 2 / (len(a) - 1) + squares[1] ** 2 / (len(b) - 1)
    degrees = sum(squares) ** 2 / below if below > 0 else 1.0
    return _t_result(float(a.mean() - b.mean()), math.sqrt(sum(squares)), degrees)


def _t_result(value: float, error: float, degrees: float) -> TResult:
    from scipy.special import stdtr

    half = t_quantile(0.975, degrees) * error
    if error == 0:
        return TResult(value, value, value, 1.0 if value == 0 else 0.0)
    p = 2.0 * float(stdtr(degrees, -abs(value) / error))
    return TResult(value, value - half, value + half, p)


@functools.lru_cache(maxsize=8)
def _t_midpoints(degrees: int) -> Floats:
    """Return Student's t at the middles of equal shares of probability."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees, (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE))


@functools.lru_cache(maxsize=32)
def _t_draws(degrees: int, stream: int) -> Floats:
    rng = np.random.default_rng([_SEED, 1, stream])
    return np.asarray(rng.standard_t(degrees, size=DRAWS))


def stretched(draws: Floats, value: float, samples: int) -> Floats:
    """Return bootstrap draws spread as far as the 95 % interval of a few samples has to reach.

    A bootstrap of n samples is too narrow by sqrt((n - 1) / n), and has normal tails where
    Student's t has longer ones (Hesterberg, What Teachers Should Know About the Bootstrap, 2015,
    §4.3): draws are moved away from the value by as much.
    """
    reach = math.sqrt(samples / (samples - 1)) * t_quantile(0.975, samples - 1)
    return value + (draws - value) * (reach / _NORMAL)


def percentiles(draws: Floats) -> tuple[float, float]:
    """Return the 95 % percentile interval of draws; those that have no value are left out."""
    whole = draws[np.isfinite(draws)]
    low, high = np.quantile(whole, [0.025, 0.975])
    return float(low), float(high)


def swap_tests(
    first: ArrayLike,
    second: ArrayLike,
    first_over: ArrayLike | None = None,
    second_over: ArrayLike | None = None,
) -> list[float]:
    """Return the two-sided p value of a paired permutation test of each row.

    If two groups do not differ, each sample's two numbers may be swapped. All swaps are tried up
    to `EXACT_SAMPLES` samples, else `FLIPS` random ones, the observed one counted among them
    (Phipson and Smyth, 2010), so that p is never 0.

    Args:
        first: One group's numbers in each row [tests, samples].
        second: The other group's, of the same samples.
        first_over: What the first group's sum is divided by; none: ones, which makes it a mean.
        second_over: The second group's.
    """
    a, b = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (first, second))
    ones = np.ones_like(a)
    a_over = ones if first_over is None else np.atleast_2d(np.asarray(first_over))
    b_over = ones if second_over is None else np.atleast_2d(np.asarray(second_over))
    half, half_over = (a - b).T / 2, (a_over - b_over).T / 2
    middle, middle_over = (a + b).sum(axis=1) / 2, (a_over + b_over).sum(axis=1) / 2

    plain = not half_over.any()

    def gap(shift: Floats, shift_over: Floats) -> Floats:
        if plain:  # the line is the same on both sides: no division is needed to compare
            return np.abs(shift)
        with np.errstate(divide="ignore", invalid="ignore"):
            above = (middle + shift) / (middle_over + shift_over)
            below = (middle - shift) / (middle_over - shift_over)
        return np.asarray(np.abs(np.nan_to_num(above - below, nan=0.0)))

    enough = gap(half.sum(axis=0), half_over.sum(axis=0)) * (1 - 1e-9) - 1e-15
    hits, total = np.zeros(len(a)), 0
    for signs in _signs(a.shape[1]):
        shift_over = half_over[:1] if plain else signs @ half_over
        hits += (gap(signs @ half, shift_over) >= enough).sum(axis=0)
        total += len(signs)
    exact = a.shape[1] <= EXACT_SAMPLES
    p = hits / total if exact else (hits + 1) / (total + 1)
    return [float(value) for value in p]


def holm(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """Return p values corrected for the number of tests (Holm, 1979).

    Args:
        p_values: Those looked at.
        tests: Size of the family they were chosen from; none: only they. A larger family makes
            them larger, never smaller than if the whole family were given.
    """
    family = max(tests or 0, len(p_values))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, worst = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (family - rank)))
        corrected[index] = worst
    return corrected


def _signs(count: int) -> Iterator[Floats]:
    """Yield patterns of +1 and -1, in pieces of [patterns, count]."""
    if count <= EXACT_SAMPLES:
        yield _all_signs(count)
        return
    rng = np.random.default_rng([_SEED, 2, count])
    for start in range(0, FLIPS, _CHUNK):
        size = (min(_CHUNK, FLIPS - start), count)
        yield (1 - 2 * rng.integers(0, 2, size=size, dtype=np.int8)).astype(np.float64)


@functools.lru_cache(maxsize=2)
def _all_signs(count: int) -> Floats:
    bits = np.arange(2**count)[:, None] >> np.arange(count)
    return (1.0 - 2.0 * (bits & 1)).astype(np.float64)
