"""Budgets and waits of failed jobs."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gimbal.scheduling.failure_model import Diagnosis, FailureClass, GiveUp, Retry
from gimbal.scheduling.retrying import UNCOUNTED, RetrySettings, backoff_s, decide_retry

SETTINGS = RetrySettings()
COUNTED = {
    FailureClass.OOM_HOST: SETTINGS.oom_host,
    FailureClass.HARDWARE: SETTINGS.hardware,
    FailureClass.COMMUNICATION: SETTINGS.communication,
    FailureClass.NATIVE_CRASH: SETTINGS.native_crash,
}
HOPELESS = set(FailureClass) - UNCOUNTED - set(COUNTED)

CLASSES = st.sampled_from(list(FailureClass))
HISTORIES = st.lists(CLASSES, max_size=40)


def decided(
    history: list[FailureClass],
    failure: FailureClass,
    *,
    settings: RetrySettings = SETTINGS,
    first: float | None = None,
    seed: str | int = "job",
) -> Retry | GiveUp:
    return decide_retry(
        history,
        Diagnosis(failure=failure, reason="It broke."),
        now=1000.0,
        first_failure_at=first,
        settings=settings,
        seed=seed,
    )


def test_every_class_has_a_fate() -> None:
    assert {FailureClass.OOM_INTRINSIC, FailureClass.USER_CODE, FailureClass.UNKNOWN} == HOPELESS
    assert all(SETTINGS.budget(failure) is None for failure in UNCOUNTED)


@pytest.mark.parametrize("failure", sorted(HOPELESS))
def test_what_would_end_alike_is_given_up_at_once_with_what_to_do(failure: FailureClass) -> None:
    decision = decided([], failure)
    assert isinstance(decision, GiveUp)
    assert "not tried again: " in decision.reason


@pytest.mark.parametrize(("failure", "budget"), COUNTED.items())
def test_a_budget_is_spent_and_no_more(failure: FailureClass, budget: int) -> None:
    others = [other for other in FailureClass if other is not failure]
    for tried in range(budget):
        assert isinstance(decided(others * 3 + [failure] * tried, failure), Retry)
    over = decided([failure] * budget, failure)
    assert isinstance(over, GiveUp)
    assert str(budget) in over.reason or "once" in over.reason


def test_counted_failures_are_given_up_after_a_day_and_uncounted_ones_never() -> None:
    long_ago = 1000.0 - 2 * SETTINGS.max_elapsed_s
    assert isinstance(decided([], FailureClass.COMMUNICATION, first=long_ago), GiveUp)
    assert isinstance(decided([], FailureClass.COMMUNICATION, first=999.0), Retry)
    for failure in UNCOUNTED:
        assert isinstance(decided([failure] * 10_000, failure, first=long_ago), Retry)


def test_the_host_gets_twice_as_long_every_time() -> None:
    exact = replace(SETTINGS, jitter=0.0)
    host = FailureClass.OOM_HOST
    waits = [backoff_s([host] * n, host, settings=exact, seed="") for n in range(12)]
    assert waits[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert waits[-1] == exact.cap_s


def test_a_neighbour_of_last_week_does_not_slow_down_today() -> None:
    exact = replace(SETTINGS, jitter=0.0)
    history = [FailureClass.CONTENTION] * 9 + [FailureClass.PREEMPTED]
    assert backoff_s(history, FailureClass.CONTENTION, settings=exact, seed="") == exact.base_s


def test_jobs_stopped_together_do_not_come_back_together() -> None:
    """And the same job gets the same answer twice, also after a restart of the service."""
    decisions = [decided([], FailureClass.INFRA, seed=f"job-{n}") for n in range(100)]
    times = {decision.at for decision in decisions if isinstance(decision, Retry)}
    assert len(times) == 100
    assert decided([], FailureClass.INFRA, seed=7) == decided([], FailureClass.INFRA, seed=7)


@given(HISTORIES, CLASSES, CLASSES)
def test_more_failures_never_buy_another_try(
    history: list[FailureClass], earlier: FailureClass, failure: FailureClass
) -> None:
    if isinstance(decided(history, failure), GiveUp):
        assert isinstance(decided([earlier, *history], failure), GiveUp)


@given(HISTORIES, st.integers(0, 500), st.sampled_from(sorted(COUNTED)))
def test_contention_is_never_counted(
    history: list[FailureClass], times: int, failure: FailureClass
) -> None:
    contended = [FailureClass.CONTENTION] * times
    before, after = decided(history, failure), decided(contended + history, failure)
    assert type(before) is type(after)
    assert isinstance(decided(contended + history, FailureClass.CONTENTION), Retry)


SECONDS = st.floats(0.001, 1e6)


@given(HISTORIES, CLASSES, st.text(max_size=9), SECONDS, SECONDS, SECONDS, st.floats(0, 1))
def test_a_wait_is_within_its_cap_and_jitter(
    history: list[FailureClass],
    failure: FailureClass,
    seed: str,
    base_s: float,
    cap_s: float,
    short_s: float,
    jitter: float,
) -> None:
    settings = RetrySettings(base_s=base_s, cap_s=cap_s, preempted_cap_s=short_s, jitter=jitter)
    cap_s = short_s if failure is FailureClass.PREEMPTED else cap_s
    wait_s = backoff_s(history, failure, settings=settings, seed=seed)
    assert min(base_s, cap_s) * (1 - jitter) <= wait_s <= cap_s


def test_every_default_is_justified() -> None:
    assert RetrySettings.__doc__ is not None
    for field in fields(RetrySettings):
        assert f"        {field.name}: " in RetrySettings.__doc__
