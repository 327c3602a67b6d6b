"""Which cards a job is given, and which it never is."""

from __future__ import annotations

import pytest
from policy_support import SETTINGS, card, cards, decided, job, running

from gimbal.scheduling.model import Condition, GpuUuid, WaitReason


@pytest.mark.parametrize("condition", [c for c in Condition if c is not Condition.FREE])
def test_a_card_that_is_not_free_is_never_granted(condition: Condition) -> None:
    result = decided([card(0, condition)], [job("a"), job("b", share=0.5, memory=2)])
    assert not result.places


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition.FOREIGN, WaitReason.GPU_FOREIGN),
        (Condition.OURS, WaitReason.GPU_OWN),
        (Condition.COOLING, WaitReason.GPU_COOLING),
        (Condition.HELD, WaitReason.GPU_HELD),
        (Condition.FAULTY, WaitReason.GPU_UNUSABLE),
        (Condition.UNKNOWN, WaitReason.GPU_UNUSABLE),
    ],
)
def test_the_reason_names_what_the_cards_are(condition: Condition, reason: WaitReason) -> None:
    assert decided(cards(2, condition), [job("a")]).why("a") is reason


def test_a_gang_gets_all_its_cards_or_none() -> None:
    result = decided(cards(3), [job("gang", 4), job("one")])
    assert result.why("gang") is WaitReason.NEVER_FITS
    result = decided([*cards(3), card(3, Condition.FOREIGN)], [job("gang", 4), job("one")])
    assert result.why("gang") is WaitReason.GPU_FOREIGN
    assert result.detail("gang") == (
        "needs 4 whole cards; 3 of 4 large enough fit now: 1 held by a foreign process"
    )
    assert result.on("one") == ["lab:0"]


def test_a_gang_stays_on_the_tightest_node_that_holds_it() -> None:
    gpus = [card(i, node="a") for i in range(4)] + [card(i, node="b") for i in range(2)]
    gpus += [card(0, node="c")]
    assert decided(gpus, [job("two", 2)]).on("two") == ["b:0", "b:1"]


def test_a_gang_prefers_the_node_with_the_smaller_cards() -> None:
    gpus = [card(i, node="a", total=80) for i in range(2)]
    gpus += [card(i, node="b", total=24) for i in range(4)]
    assert decided(gpus, [job("two", 2, memory=20)]).on("two") == ["b:0", "b:1"]


def test_a_gang_that_fits_no_node_spreads_over_as_few_as_can_be() -> None:
    gpus = [card(0, node="a")] + [card(i, node="b") for i in range(3)]
    gpus += [card(i, node="c") for i in range(2)]
    assert decided(gpus, [job("four", 4)]).on("four") == ["b:0", "b:1", "b:2", "a:0"]


def test_the_smallest_sufficient_card_is_taken_and_names_break_ties() -> None:
    gpus = [card(0, total=80), card(3, total=24), card(2, total=24), card(1, total=12)]
    assert decided(gpus, [job("a", memory=20)]).on("a") == ["lab:2"]
    assert decided(gpus, [job("a", memory=30)]).on("a") == ["lab:0"]


def test_memory_of_others_and_the_margin_count() -> None:
    gpu = card(0, foreign=0.6)
    assert decided([gpu], [job("a", memory=22.4)]).places
    result = decided([gpu], [job("a", memory=22.7)])
    assert result.why("a") is WaitReason.MEMORY
    assert result.detail("a") == (
        "needs 1 card with 22.7 GiB; 0 of 1 large enough fit now: 1 short of room"
    )


def test_a_trifle_of_others_counts_but_asks_for_no_margin() -> None:
    """A desktop, or what some drivers call used, is on every real card."""
    gpu = card(0, foreign=0.4)
    assert decided([gpu], [job("a", memory=23.6)]).places
    assert decided([gpu], [job("a", memory=23.7)]).why("a") is WaitReason.MEMORY
    shared = decided([gpu], [job("a", share=0.5, memory=23)])
    assert shared.why("a") is WaitReason.MEMORY, "two jobs of ours may both grow"


def test_a_job_measured_to_fill_its_card_still_fits_a_clean_one() -> None:
    assert decided(cards(1), [job("a", memory=24)]).places
    assert decided(cards(1), [job("a", memory=24.01)]).why("a") is WaitReason.NEVER_FITS


def test_a_card_that_was_granted_is_taken_even_before_anything_runs_on_it() -> None:
    gpu = card(0)
    result = decided([gpu], [job("a")], holding=[running("r", [gpu])])
    assert result.why("a") is WaitReason.GPU_OWN


def test_nothing_is_granted_twice_in_one_decision() -> None:
    result = decided(cards(3), [job(f"j{i}") for i in range(5)])
    given = [uuid for name in result.places for uuid in result.on(name)]
    assert sorted(given) == ["lab:0", "lab:1", "lab:2"]


def test_avoided_cards_are_not_used() -> None:
    avoid = frozenset({GpuUuid("GPU-lab-0")})
    assert decided(cards(2), [job("a", avoid=avoid)]).on("a") == ["lab:1"]
    result = decided(cards(2), [job("a", 2, avoid=avoid)])
    assert result.why("a") is WaitReason.BACKOFF
    assert "1 avoided after a failure there" in result.detail("a")
    everything = frozenset(gpu.uuid for gpu in cards(2))
    assert decided(cards(2), [job("a", avoid=everything)]).why("a") is WaitReason.BACKOFF


def test_what_could_never_fit_says_what_there_is() -> None:
    result = decided([*cards(2), card(2, total=48)], [job("a", memory=50), job("b", 4)])
    assert result.why("a") is result.why("b") is WaitReason.NEVER_FITS
    assert result.detail("a") == (
        "needs 1 card with 50.0 GiB; this cluster has 3 cards, the largest can give 48.0 GiB"
    )


def test_a_faulty_card_may_be_mended_so_the_job_could_fit() -> None:
    result = decided([card(0), card(1, Condition.FAULTY)], [job("a", 2)])
    assert result.why("a") is WaitReason.GPU_UNUSABLE


def test_where_a_node_is_unknown_or_none_is_known_yet_nothing_is_concluded() -> None:
    unknown = card(1, Condition.UNKNOWN, total=0)
    assert decided([card(0), unknown], [job("a", 4)]).why("a") is WaitReason.GPU_UNUSABLE
    assert decided([], [job("a")]).why("a") is WaitReason.GPU_UNUSABLE


def test_the_decisive_group_is_the_reason() -> None:
    """One card cools, eight are foreign: for two cards the foreigners are what it waits for."""
    gpus = [card(0, Condition.COOLING)] + [card(i, Condition.FOREIGN) for i in range(1, 9)]
    result = decided(gpus, [job("one"), job("two", 2)])
    assert result.why("one") is WaitReason.GPU_COOLING
    assert result.why("two") is WaitReason.GPU_FOREIGN


class TestShares:
    def test_a_share_needs_stated_memory_and_one_worker(self) -> None:
        result = decided(cards(2), [job("a", share=0.5), job("b", 2, share=0.5, memory=2)])
        assert result.why("a") is result.why("b") is WaitReason.NEVER_FITS
        assert "stated memory" in result.detail("a")

    def test_two_shares_go_on_one_card_and_a_third_on_the_next(self) -> None:
        queue = [job(f"j{i}", share=0.5, memory=8, waited=9 - i) for i in range(3)]
        result = decided(cards(2), queue)
        assert [result.on(f"j{i}") for i in range(3)] == [["lab:0"], ["lab:0"], ["lab:1"]]

    def test_a_shared_card_takes_more_by_memory_and_by_share(self) -> None:
        gpu = card(0, Condition.OURS, own_bytes=2 * 2**30)
        holding = [running("r", [gpu], share=0.5, memory=10)]
        assert decided([gpu], [job("a", share=0.5, memory=13)], holding=holding).places
        for request in (job("a", share=0.6, memory=8), job("a", share=0.2, memory=13.1)):
            result = decided([gpu], [request], holding=holding)
            assert result.why("a") is WaitReason.GPU_OWN

    def test_what_a_sharer_was_seen_to_use_counts_if_it_is_more_than_it_stated(self) -> None:
        gpu = card(0, Condition.OURS, own_bytes=20 * 2**30)
        holding = [running("r", [gpu], share=0.5, memory=10)]
        assert not decided([gpu], [job("a", share=0.5, memory=4)], holding=holding).places

    def test_a_card_of_strangers_in_the_same_ray_is_not_shared(self) -> None:
        gpu = card(0, Condition.OURS, own_bytes=2**30)
        assert not decided([gpu], [job("a", share=0.5, memory=4)]).places

    def test_a_card_held_whole_is_not_shared_whatever_memory_is_left(self) -> None:
        gpu = card(0, Condition.OURS)
        holding = [running("r", [gpu], memory=4)]
        assert not decided([gpu], [job("a", share=0.1, memory=2)], holding=holding).places

    def test_shares_that_overflow_together_do_not_fit_together(self) -> None:
        queue = [job(f"j{i}", share=0.4, memory=2, waited=9 - i) for i in range(3)]
        result = decided(cards(1), queue)
        assert sorted(result.places) == ["j0", "j1"]

    def test_ten_tenths_fit_though_their_floats_exceed_one(self) -> None:
        queue = [job(f"j{i}", share=0.1, memory=2) for i in range(10)]
        assert len(decided(cards(1), queue).places) == 10

    def test_shares_leave_the_margin_free(self) -> None:
        assert decided(cards(1), [job("a", share=0.9, memory=23)]).places
        result = decided(cards(1), [job("a", share=0.9, memory=23.1)])
        assert result.why("a") is WaitReason.NEVER_FITS
        assert "can give 23.0 GiB" in result.detail("a")
        assert SETTINGS.safety_bytes == 2**30
