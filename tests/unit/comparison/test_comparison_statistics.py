"""The statistics against independent references, and their error rates in simulations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as some

from gimbal.comparison import statistics as st
from gimbal.comparison.measuring import difference, measure, pairs
from gimbal.comparison.seed_rows import SampleTable, SeedRow
from gimbal.comparison.testing import corrected, p_values

NUMBERS = np.random.default_rng(3).normal(size=(2, 60))


@pytest.mark.parametrize("count", [2, 3, 8, 12])
def test_the_exact_test_agrees_with_scipys(count: int) -> None:
    a, b = NUMBERS[0, :count] + 0.4, NUMBERS[1, :count]
    theirs = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=np.inf,
    )  # fmt: skip
    assert st.swap_tests(a, b) == [pytest.approx(theirs.pvalue)]


def test_the_random_test_agrees_with_the_t_test_of_many_samples() -> None:
    a, b = NUMBERS[0] + 0.3, NUMBERS[1]
    theirs = scipy.stats.ttest_rel(a, b).pvalue
    assert st.swap_tests(a, b)[0] == pytest.approx(theirs, rel=0.1)


def test_a_ratio_of_sums_is_swapped_above_and_below_the_line() -> None:
    """By brute force over every swap of whole samples."""
    rng = np.random.default_rng(5)
    above, below = rng.normal(size=(2, 6)), rng.uniform(0.5, 2.0, size=(2, 6))
    gaps = []
    for pattern in range(2**6):
        swap = np.array([pattern >> i & 1 for i in range(6)], dtype=bool)
        first = np.where(swap, above[1], above[0]).sum() / np.where(swap, below[1], below[0]).sum()
        other = np.where(swap, above[0], above[1]).sum() / np.where(swap, below[0], below[1]).sum()
        gaps.append(abs(first - other))
    expected = np.mean(np.array(gaps) >= gaps[0] - 1e-12)
    assert st.swap_tests(above[0], above[1], below[0], below[1]) == [pytest.approx(expected)]


def test_many_tests_at_once_are_the_same_as_one_by_one() -> None:
    a, b = NUMBERS[:, :20], NUMBERS[:, 20:40]
    assert st.swap_tests(a, b) == [st.swap_tests(x, y)[0] for x, y in zip(a, b, strict=True)]


def test_equal_groups_are_never_told_apart() -> None:
    assert st.swap_tests(NUMBERS[0], NUMBERS[0]) == [1.0]
    assert st.swap_tests(NUMBERS[0, :5], NUMBERS[0, :5]) == [1.0]


def test_p_is_never_zero() -> None:
    assert st.swap_tests(NUMBERS[0] + 100.0, NUMBERS[1])[0] == pytest.approx(1 / (st.FLIPS + 1))


def test_holm_by_hand() -> None:
    assert st.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert st.holm([0.01, 0.04, 0.03], tests=6) == pytest.approx([0.06, 0.16, 0.15])
    assert st.holm([]) == []


@given(some.lists(some.floats(0, 1), min_size=1, max_size=12), some.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_chosen_part_is_never_judged_more_kindly_than_the_whole_family(
    family: list[float], others: int
) -> None:
    whole = st.holm([*family, *([1.0] * others)])[: len(family)]
    part = st.holm(family[:3], tests=len(family) + others)
    assert all(p >= w - 1e-12 for p, w in zip(part, whole[:3], strict=True))
    assert all(a <= b + 1e-12 for a, b in zip(family, whole, strict=True))


def test_the_t_results_agree_with_scipys() -> None:
    a, b = NUMBERS[0, :4] + 1.0, NUMBERS[1, :3]
    theirs = scipy.stats.ttest_1samp(a, 0.0)
    ours = st.t_result(a)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.p == pytest.approx(theirs.pvalue)
    theirs, ours = scipy.stats.ttest_ind(a, b, equal_var=False), st.welch(a, b)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.p == pytest.approx(theirs.pvalue)
    assert st.t_result([1.0]) is None
    assert st.welch(a, [1.0]) is None


def rows(table: np.ndarray) -> list[SeedRow]:
    """Lay out values [seeds, samples] as the rows of a group."""
    return [
        SeedRow(
            seed=seed, run=seed, value=float(values.mean()), protocol="p",
            table=SampleTable(tuple(map(str, range(len(values)))), values, np.ones(len(values))),
        )
        for seed, values in enumerate(table)
    ]  # fmt: skip


def test_the_interval_of_many_normal_samples_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=(1, 400))
    found = measure(rows(values))
    low, high = scipy.stats.ttest_1samp(values[0], 0.0).confidence_interval()
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def test_when_only_seeds_differ_the_interval_is_students() -> None:
    by_seed = np.array([0.2, 0.5, 0.9])
    found = measure(rows(np.repeat(by_seed[:, None], 10, axis=1)))
    expected = st.t_result(by_seed)
    assert found is not None
    assert expected is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.06)


def crossed(rng: np.random.Generator, seeds: int, samples: int, luck: float) -> np.ndarray:
    """Draw numbers of one group: how hard a sample is, how lucky a seed, and noise."""
    hard = rng.normal(size=samples)
    return hard + luck * rng.normal(size=(seeds, 1)) + 0.5 * rng.normal(size=(seeds, samples))


@pytest.mark.parametrize(
    ("seeds", "samples", "luck", "least", "most"),
    [
        (1, 20, 0.0, 0.91, 0.985),
        (3, 20, 1.0, 0.91, 0.99),
        pytest.param(1, 8, 0.0, 0.91, 0.985, marks=pytest.mark.slow),
        pytest.param(3, 20, 0.0, 0.91, 1.0, marks=pytest.mark.slow),
        pytest.param(2, 20, 0.5, 0.92, 1.0, marks=pytest.mark.slow),
        pytest.param(5, 20, 0.3, 0.91, 0.99, marks=pytest.mark.slow),
    ],
)
def test_intervals_cover_the_truth(
    seeds: int, samples: int, luck: float, least: float, most: float
) -> None:
    """The true mean is 0; with 240 trials a coverage of .95 is seen within .028."""
    rng = np.random.default_rng([seeds, samples, int(10 * luck)])
    covered = 0
    for _ in range(240):
        found = measure(rows(crossed(rng, seeds, samples, luck)))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.0 <= found.high
    assert least <= covered / 240 <= most


def paired(rng: np.random.Generator, groups: int, seeds: int, samples: int, luck: float):
    """Draw groups that do not differ, on the same samples."""
    hard = rng.normal(size=samples)
    shape = (groups, seeds, samples)
    return hard + luck * rng.normal(size=(groups, seeds, 1)) + 0.3 * rng.normal(size=shape)


def false_alarms(groups: int, seeds: int, samples: int, luck: float, *, pick: bool) -> float:
    """Return how often anything is called settled although nothing differs."""
    rng = np.random.default_rng([groups, seeds, samples])
    alarms, repeats = 0, 120
    for _ in range(repeats):
        tables = [rows(table) for table in paired(rng, groups, seeds, samples, luck)]
        if pick:
            tables.sort(key=lambda group: -np.mean([row.value for row in group]))
        base, others = tables[0], dict(enumerate(tables[1:]))
        gaps = {n: gap for n, group in others.items() if (gap := difference(group, base))}
        tests = groups * (groups - 1) // 2 if pick else groups - 1
        swaps = {n: pairs(others[n], base) for n in gaps}
        alarms += any(gap.settled for gap in corrected(gaps, p_values(swaps), tests).values())
    return alarms / repeats


def test_the_paired_test_errs_as_often_as_it_says() -> None:
    """Without differences, p is below .05 one time in twenty: 400 trials see that within .022."""
    rng = np.random.default_rng(1)
    tables = [paired(rng, 2, 1, 10, 0.0)[:, 0] for _ in range(400)]
    first, second = (np.stack([table[i] for table in tables]) for i in (0, 1))
    p = np.array(st.swap_tests(first, second))
    assert 0.028 <= (p < 0.05).mean() <= 0.072
    assert 0.44 <= (p < 0.5).mean() <= 0.56


@pytest.mark.parametrize(
    ("groups", "seeds", "luck", "pick"),
    [
        (4, 3, 0.3, True),
        pytest.param(4, 1, 0.0, False, marks=pytest.mark.slow),
        pytest.param(6, 1, 0.0, True, marks=pytest.mark.slow),
        pytest.param(4, 3, 0.05, True, marks=pytest.mark.slow),
        pytest.param(4, 2, 0.1, False, marks=pytest.mark.slow),
    ],
)
def test_a_family_of_equal_groups_is_rarely_told_apart(
    groups: int, seeds: int, luck: float, pick: bool
) -> None:
    """Also when the reference is the best of them, and when seeds make all the difference.

    With 120 trials a rate of .05 is seen as more than .09 one time in thirty.
    """
    assert false_alarms(groups, seeds, 10, luck, pick=pick) <= 0.09


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(2)
    tables = paired(rng, 2, 3, 30, 0.02)
    first, second = rows(tables[0] + 0.2), rows(tables[1])
    gaps = {0: difference(first, second)}
    found = corrected(gaps, p_values({0: pairs(first, second)}), 1)[0]
    assert found.settled
    assert found.value == pytest.approx(0.2, abs=0.1)
