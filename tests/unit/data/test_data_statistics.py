"""Statistics in parts agree with numpy over the whole, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gimbal.data.statistics import CHUNK, ColumnStatistics, measure, merge


@pytest.mark.parametrize(
    "dtype", ["uint8", "bool", "int32", "int64", "float16", "float32", "float64"]
)
def test_many_chunks_agree_with_numpy(dtype):
    random = np.random.default_rng(0)
    values = (random.random((3, CHUNK)) * 100 - (0 if dtype == "uint8" else 30)).astype(dtype)
    found, wide = measure(values), values.astype(np.float64)
    assert (found.count, found.nan, found.infinite) == (values.size, 0, 0)
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-12)
    assert found.std == pytest.approx(wide.std(), rel=1e-12)


def test_a_large_mean_does_not_drown_a_small_deviation():
    """The textbook formula with a sum of squares would answer 0 or a negative variance here."""
    values = 1e9 + np.random.default_rng(0).standard_normal(3 * CHUNK)
    assert measure(values).std == pytest.approx(values.std(), rel=1e-9)


def test_nan_and_infinite_numbers_are_counted_and_left_out():
    found = measure(np.array([1.0, np.nan, 3.0, -np.inf, np.nan]))
    assert (found.count, found.nan, found.infinite) == (5, 2, 1)
    assert (found.minimum, found.maximum, found.mean, found.std) == (1, 3, 2, 1)


@pytest.mark.parametrize("values", [np.empty(0), np.full(4, np.nan), np.empty(0, np.uint8)])
def test_no_finite_number_gives_no_moments(values):
    summary = measure(values).summary()
    assert summary["min"] is summary["mean"] is summary["std"] is None


def test_moments_that_overflow_are_left_out_of_the_summary():
    """JSON has no word for infinity."""
    summary = measure(np.array([1.7e308, -1.7e308])).summary()
    assert summary["std"] is None
    assert summary["max"] == 1.7e308


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1e6, 1e6, width=32)),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_merging_parts_equals_measuring_the_whole(values, cuts):
    parts = np.split(values, sorted(min(cut, len(values)) for cut in cuts))
    merged, whole = merge(measure(part) for part in parts), measure(values)
    assert (merged.count, merged.minimum, merged.maximum) == (
        whole.count,
        whole.minimum,
        whole.maximum,
    )
    if whole.mean is not None:
        assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
        assert merged.std == pytest.approx(whole.std, rel=1e-6, abs=1e-3)


def test_merging_nothing_is_nothing():
    assert merge([]) == ColumnStatistics()
