"""Intervals and sample sizes of the diagnostics, against closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from gimbal_nbv.diagnostics.statistics import CERTAIN, Mean, wilson
from gimbal_nbv.diagnostics.variance_report import first_view_share, samples_needed


@pytest.mark.parametrize(("wins", "trials"), [(0, 5), (1, 5), (5, 5), (916, 960), (17, 64)])
def test_wilson_is_scipys(wins: int, trials: int) -> None:
    bounds = wilson(wins, trials)
    known = binomtest(wins, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert bounds == pytest.approx((known.low, known.high), abs=1e-12)


def test_wilson_of_nothing_is_none_and_never_leaves_zero_to_one() -> None:
    assert wilson(0, 0) is None
    for wins in range(4):
        low, high = wilson(wins, 3) or (math.nan, math.nan)
        assert 0.0 <= low < high <= 1.0


def test_interval_of_a_mean_is_students() -> None:
    values = np.array([0.3, -0.1, 0.25, 0.4, 0.05])
    mean = Mean.of(values)
    known = ttest_1samp(values, 0.0).confidence_interval()
    assert mean.ci95 == pytest.approx((known.low, known.high))
    assert mean.in_errors == pytest.approx(ttest_1samp(values, 0.0).statistic)


def test_one_object_has_no_error_and_equal_ones_are_certain_and_finite() -> None:
    assert Mean.of([0.2]).in_errors is None
    assert Mean.of([0.2]).ci95 is None
    assert Mean.of([0.25, 0.25]).in_errors == CERTAIN
    assert Mean.of([-0.25, -0.25]).in_errors == -CERTAIN
    assert Mean.of([0.0, 0.0]).in_errors == 0.0


def test_samples_needed_are_those_whose_mean_resolves_the_gap() -> None:
    """The lab's numbers: a gap of .57 deviations needs 12 samples, a fifth of it 300."""
    assert samples_needed(0.57) == pytest.approx(12.3, abs=0.05)
    assert samples_needed(0.57 / 5) == pytest.approx(308, abs=1)
    assert samples_needed(0.0) == math.inf
    assert samples_needed(50.0) == 1.0


def test_first_views_share_is_all_or_nothing_where_one_source_varies() -> None:
    between = np.repeat(np.arange(4.0)[:, None], 5, axis=1)
    assert first_view_share(between) == pytest.approx(1.0)
    assert first_view_share(between.T) == pytest.approx(0.0)
    assert first_view_share(np.ones((4, 5))) == 0.0
