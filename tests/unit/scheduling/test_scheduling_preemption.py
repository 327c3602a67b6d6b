"""Who is asked to leave: few, young, of low priority, and only where it helps."""

from __future__ import annotations

import pytest
from policy_support import card, cards, decided, job, running

from gimbal.scheduling.model import Condition, GpuUuid, WaitReason
from gimbal.scheduling.settings import PolicySettings

OURS = cards(4, Condition.OURS)


def urgent(gpus: int = 1, **more: object):
    return job("urgent", gpus, priority=5, **more)  # type: ignore[arg-type]


def test_a_job_of_lower_priority_is_asked_and_the_urgent_one_waits_for_it() -> None:
    result = decided(OURS[:1], [urgent()], holding=[running("r", OURS[:1])])
    assert result.preempts == {"r": "urgent"}
    assert result.why("urgent") is WaitReason.PREEMPTING


@pytest.mark.parametrize(
    "holding",
    [
        running("equal", OURS[:1], priority=5),
        running("fresh", OURS[:1], ran=599),
        running("leaving", OURS[:1], stopping=True),
    ],
    ids=lambda r: str(r.job_id),
)
def test_these_are_not_asked(holding: object) -> None:
    assert not decided(OURS[:1], [urgent()], holding=[holding]).preempts  # type: ignore[list-item]


def test_the_gap_and_the_switch_are_settings() -> None:
    holding = [running("r", OURS[:1])]
    for settings in (PolicySettings(preemption=False), PolicySettings(preemption_gap=6)):
        assert not decided(OURS[:1], [urgent()], holding=holding, settings=settings).preempts
    settings = PolicySettings(preemption_gap=5)
    assert decided(OURS[:1], [urgent()], holding=holding, settings=settings).preempts


def test_nobody_is_asked_where_a_card_is_free_or_comes_free() -> None:
    holding = [running("r", OURS[:1])]
    assert not decided([OURS[0], card(9)], [urgent()], holding=holding).preempts
    holding += [running("s", OURS[1:2], stopping=True)]
    result = decided(OURS[:2], [urgent()], holding=holding)
    assert not result.preempts
    assert result.why("urgent") is WaitReason.PREEMPTING


def test_nobody_is_asked_if_it_would_not_suffice() -> None:
    gpus = [*OURS[:2], card(2, Condition.FOREIGN)]
    holding = [running("r0", OURS[:1]), running("r1", OURS[1:2])]
    result = decided(gpus, [urgent(3)], holding=holding)
    assert not result.preempts
    assert result.why("urgent") is WaitReason.GPU_FOREIGN


def test_nobody_is_asked_to_leave_a_card_that_would_still_be_foreign_cooling_or_held() -> None:
    for condition in (Condition.FOREIGN, Condition.COOLING, Condition.HELD, Condition.FAULTY):
        gpu = card(0, condition)
        assert not decided([gpu], [urgent()], holding=[running("r", [gpu])]).preempts


def test_nobody_is_asked_to_leave_a_card_that_is_too_small_or_avoided() -> None:
    holding = [running("r", OURS[:1])]
    assert not decided(
        [*OURS[:1], card(9, Condition.HELD, total=48)], [urgent(memory=30)], holding=holding
    ).preempts
    avoid = frozenset({GpuUuid("GPU-lab-0")})
    assert not decided(OURS[:1], [urgent(avoid=avoid)], holding=holding).preempts


def test_one_job_with_enough_cards_is_asked_rather_than_two() -> None:
    holding = [
        running("r0", OURS[:1], ran=700),
        running("r1", OURS[1:2], ran=700),
        running("wide", OURS[2:], ran=90_000),
    ]
    assert set(decided(OURS, [urgent(2)], holding=holding).preempts) == {"wide"}


def test_of_equally_few_the_lowest_priority_then_the_least_cards_then_the_youngest_leaves() -> None:
    holding = [
        running("old", OURS[:1], ran=9000),
        running("young", OURS[1:2], ran=1000),
        running("wide", OURS[2:4], ran=700),
    ]
    assert set(decided(OURS, [urgent()], holding=holding).preempts) == {"young"}
    holding[0] = running("old", OURS[:1], ran=9000, priority=-1)
    assert set(decided(OURS, [urgent()], holding=holding).preempts) == {"old"}


def test_the_least_harm_is_chosen_only_among_choices_that_still_suffice() -> None:
    """Three cards of two jobs: the pair must give three, so one of them is the wide job."""
    holding = [
        running("a", OURS[:1], ran=700),
        running("b", OURS[1:2], ran=800),
        running("wide", OURS[2:4], ran=99_000, priority=1),
    ]
    assert set(decided(OURS, [urgent(3)], holding=holding).preempts) == {"a", "wide"}


def test_all_sharers_of_a_card_leave_for_a_whole_one_only_where_no_single_job_can() -> None:
    holding = [
        running("s0", OURS[:1], share=0.5, memory=4),
        running("s1", OURS[:1], share=0.5, memory=4),
        running("single", OURS[1:2], priority=2),
    ]
    assert set(decided(OURS[:2], [urgent()], holding=holding).preempts) == {"single"}
    assert set(decided(OURS[:1], [urgent()], holding=holding[:2]).preempts) == {"s0", "s1"}
    holding[1] = running("s1", OURS[:1], share=0.5, memory=4, priority=5)
    assert not decided(OURS[:1], [urgent()], holding=holding[:2]).preempts


def test_for_a_share_only_as_many_sharers_leave_as_it_takes() -> None:
    holding = [running(f"s{i}", OURS[:1], share=0.25, memory=5, ran=1000 + i) for i in range(4)]
    result = decided(OURS[:1], [urgent(share=0.5, memory=8)], holding=holding)
    assert set(result.preempts) == {"s0", "s1"}
    assert result.why("urgent") is WaitReason.PREEMPTING


def test_the_free_card_is_kept_until_the_other_one_is_left() -> None:
    gpus = [card(0), OURS[1]]
    queue = [urgent(2), job("small", waited=99)]
    result = decided(gpus, queue, holding=[running("r", [OURS[1]])])
    assert set(result.preempts) == {"r"}
    assert result.why("small") is WaitReason.BEHIND


def test_two_urgent_jobs_do_not_count_on_the_same_card() -> None:
    holding = [running("r0", OURS[:1]), running("r1", OURS[1:2], priority=5)]
    queue = [urgent(), job("second", priority=5, waited=1)]
    result = decided(OURS[:2], queue, holding=holding)
    assert result.preempts == {"r0": "urgent"}
    assert result.why("second") is WaitReason.BEHIND


def test_a_burst_of_urgent_jobs_empties_the_cluster_in_steps() -> None:
    gpus = cards(8, Condition.OURS)
    holding = [running(f"r{i}", [gpus[i]]) for i in range(8)]
    queue = [job(f"u{i}", priority=1) for i in range(8)]
    settings = PolicySettings(preemptions_at_once=3)
    assert len(decided(gpus, queue, holding=holding, settings=settings).preempts) == 3
