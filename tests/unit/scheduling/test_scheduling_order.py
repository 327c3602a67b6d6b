"""Who goes first, and how many may run."""

from __future__ import annotations

import pytest
from policy_support import NOW, SETTINGS, card, cards, decided, job, running

from gimbal.scheduling.model import Condition, WaitReason
from gimbal.scheduling.settings import PolicySettings


def test_the_larger_priority_goes_first() -> None:
    result = decided(cards(1), [job("old", waited=99), job("urgent", priority=1, waited=1)])
    assert list(result.places) == ["urgent"]


def test_the_user_who_had_less_goes_first() -> None:
    queue = [job("a", user="alice", waited=99), job("b", user="bob", waited=1)]
    assert list(decided(cards(1), queue, usage={"alice": 10.0}).places) == ["b"]


def test_cards_held_now_count_as_use() -> None:
    on = card(0, Condition.OURS)
    queue = [job("a", user="alice", waited=99), job("b", user="bob", waited=1)]
    result = decided([on, card(1)], queue, holding=[running("r", [on], user="alice")])
    assert list(result.places) == ["b"]


def test_a_user_who_was_given_a_card_goes_back_in_the_line() -> None:
    queue = [job(f"a{i}", user="alice", waited=100 - i) for i in range(5)]
    queue += [job(f"b{i}", user="bob", waited=10 - i) for i in range(5)]
    assert sorted(decided(cards(4), queue).places) == ["a0", "a1", "b0", "b1"]


def test_a_charge_weighs_against_past_use() -> None:
    """Alice used 2.5 hours of a card: bob may hold three cards before it is her turn."""
    queue = [job(f"b{i}", user="bob") for i in range(5)] + [job("a", user="alice")]
    result = decided(cards(4), queue, usage={"alice": 2.5 * 3600})
    assert sorted(result.places) == ["a", "b0", "b1", "b2"]


def test_among_equals_the_first_submitted_goes_first_then_the_name_decides() -> None:
    result = decided(cards(2), [job("c", waited=5), job("b", waited=5), job("a", waited=9)])
    assert sorted(result.places) == ["a", "b"]


def test_a_backoff_is_waited_for_even_where_cards_are_free() -> None:
    result = decided(cards(1), [job("a", not_before=NOW + 30)])
    assert result.why("a") is WaitReason.BACKOFF
    assert result.detail("a") == "starts again not before 08:00:30 UTC"
    assert decided(cards(1), [job("a", not_before=NOW)]).places


def test_jobs_without_gpus_need_no_card_but_a_slot() -> None:
    queue = [job(f"j{i}", gpus=0, waited=100 - i) for i in range(6)]
    result = decided([], queue, holding=[running("r", [])])
    assert sorted(result.places) == ["j0", "j1", "j2"]
    assert result.why("j3") is WaitReason.SLOT


def test_a_user_over_the_quota_waits_and_others_do_not() -> None:
    settings = PolicySettings(user_gpu_quota=2)
    queue = [job("a1", 2, waited=9), job("a2", waited=8), job("b", user="bob")]
    result = decided(cards(4), queue, settings=settings)
    assert sorted(result.places) == ["a1", "b"]
    assert result.why("a2") is WaitReason.QUOTA
    assert result.detail("a2") == "needs 1 whole card; alice holds 2 of at most 2"


def test_the_quota_of_one_user_is_not_told_to_another() -> None:
    settings = PolicySettings(user_gpu_quota=1)
    queue = [job("a1", waited=9), job("a2", waited=8), job("b1", user="bob"), job("a3", waited=1)]
    result = decided(cards(3), queue, settings=settings)
    assert sorted(result.places) == ["a1", "b1"]
    assert result.why("a3") is WaitReason.QUOTA


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("safety_bytes", -1),
        ("trifle_bytes", -1),
        ("starvation_s", -1.0),
        ("starvation_s", float("nan")),
        ("fair_share_half_life_s", 0.0),
        ("max_jobs_without_gpus", 0),
        ("preemption_gap", 0),
        ("user_gpu_quota", 0.0),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        PolicySettings(**{name: value})  # type: ignore[arg-type]


def test_every_queued_job_gets_one_answer() -> None:
    queue = [job(f"j{i}", i % 4, priority=i % 3) for i in range(40)]
    result = decided(cards(6), queue)
    assert len(result.all) == len(result.places) + len(result.waits) == 40
    assert SETTINGS.preemption
