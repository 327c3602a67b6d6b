"""A card is free only when it was really left: one bad sample counts at once, clean ones slowly."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from gpu_reports import NODE, card, report, use
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gimbal.gpus.model import AttributedGpu, Owner
from gimbal.gpus.occupancy import HeldCard, Occupancy
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.words import GIB
from gimbal.scheduling.model import Condition, Gpu, GpuUuid, NodeName

SETTINGS = OccupancySettings()
ALICE = use(Owner.FOREIGN_USER, 14.1)
T0 = 1_800_000_000.0


class Lab:
    """One node whose cards are seen every five seconds."""

    def __init__(self, config: OccupancySettings = SETTINGS) -> None:
        self.occupancy = Occupancy(config)
        self.now = T0

    def see(self, *gpus: AttributedGpu, times: int = 1, step_s: float = 5.0) -> Gpu:
        for _ in range(times):
            self.now += step_s
            self.occupancy.observe(report(self.now, gpus), now=self.now)
        return self.first()

    def first(self, wait_s: float = 0.0) -> Gpu:
        self.now += wait_s
        return self.occupancy.snapshot(now=self.now)[0]


def test_a_card_never_seen_foreign_is_free_after_its_first_clean_sample() -> None:
    lab = Lab()
    assert lab.occupancy.snapshot(now=T0) == ()
    seen = lab.see(card())
    assert (seen.condition, seen.node, seen.total_bytes) == (Condition.FREE, NODE, 24 * GIB)


def test_one_bad_sample_is_enough_and_its_note_names_the_holder_but_no_command_line() -> None:
    lab = Lab()
    lab.see(card(), times=5)
    seen = lab.see(card(ALICE))
    assert seen.condition is Condition.FOREIGN
    assert seen.note == "alice (python, pid 40001) holds 14.1 GiB"
    assert seen.foreign_bytes == ALICE.used_bytes


def test_clean_samples_alone_or_a_cool_down_alone_do_not_free_a_card() -> None:
    lab = Lab()
    lab.see(card(ALICE))
    after_samples = lab.see(card(), times=11)
    assert after_samples.condition is Condition.COOLING
    assert after_samples.cooling_s == pytest.approx(5.0)
    assert "alice" in after_samples.note
    assert lab.see(card()).condition is Condition.FREE

    other = Lab(OccupancySettings(stale_after_s=1000))
    other.see(card(ALICE))
    assert other.see(card(), step_s=100).condition is Condition.COOLING
    assert other.see(card()).condition is Condition.COOLING
    assert other.see(card()).condition is Condition.FREE


def test_a_cool_down_ends_between_two_samples_as_well() -> None:
    lab = Lab()
    lab.see(card(ALICE))
    lab.see(card(), times=11)
    assert lab.first(wait_s=4).condition is Condition.COOLING
    assert lab.first(wait_s=1).condition is Condition.FREE


def test_a_neighbour_that_flaps_never_lets_the_card_become_free() -> None:
    lab = Lab()
    for _ in range(20):
        assert lab.see(card(ALICE)).condition is Condition.FOREIGN
        assert lab.see(card(), times=8).condition is Condition.COOLING


def test_samples_in_quick_succession_count_as_one() -> None:
    """A second look before a start must not shorten the wait."""
    lab = Lab(OccupancySettings(cool_down_s=0))
    lab.see(card(ALICE))
    assert lab.see(card(), times=10, step_s=0.1).condition is Condition.COOLING
    assert lab.see(card(), times=2).condition is Condition.FREE


def test_a_report_that_is_delivered_twice_counts_once_and_grows_stale() -> None:
    lab = Lab(OccupancySettings(cool_down_s=0))
    lab.see(card(ALICE))
    frozen = report(lab.now + 5, [card()])
    for _ in range(4):
        lab.now += 5
        lab.occupancy.observe(frozen, now=lab.now)
    assert lab.first().condition is Condition.COOLING
    assert lab.first(wait_s=10).condition is Condition.UNKNOWN


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use(Owner.FOREIGN_USER, 0.4)], Condition.FREE),
        ([use(Owner.FOREIGN_USER, 0.3), use(Owner.FOREIGN_USER, 0.3, 7)], Condition.FOREIGN),
        ([use(Owner.FOREIGN_SYSTEM, 0.29), use(Owner.FOREIGN_SYSTEM, 0.29, 7)], Condition.FREE),
        ([use(Owner.UNATTRIBUTED, 0.4)], Condition.FREE),
        ([use(Owner.UNATTRIBUTED, 3)], Condition.FOREIGN),
        ([use(Owner.OWN_LIVE, 9)], Condition.OURS),
        ([use(Owner.OWN_LIVE, 0)], Condition.OURS),
        ([use(Owner.OWN_LEAKED, 9)], Condition.OURS),
        ([use(Owner.OWN_LIVE, 9), use(Owner.FOREIGN_USER, 3, 7)], Condition.FOREIGN),
    ],
)
def test_whose_memory_makes_which_condition(uses: list, expected: Condition) -> None:
    assert Lab().see(card(*uses)).condition is expected


def test_a_card_of_ours_is_free_as_soon_as_our_process_has_left() -> None:
    lab = Lab()
    assert lab.see(card(use(Owner.OWN_LIVE, 9))).own_bytes == 9 * GIB
    assert lab.see(card()).condition is Condition.FREE


def test_what_is_left_of_our_own_process_is_no_foreigner_for_some_seconds() -> None:
    lab = Lab()
    lab.see(card(use(Owner.OWN_LIVE, 9)))
    assert lab.see(card(use(Owner.UNATTRIBUTED, 8.9))).condition is Condition.FREE
    lab.see(card(use(Owner.UNATTRIBUTED, 8.9)))
    assert lab.see(card(use(Owner.UNATTRIBUTED, 8.9))).condition is Condition.FOREIGN


def test_memory_beyond_what_we_held_is_foreign_at_once() -> None:
    lab = Lab()
    lab.see(card(use(Owner.OWN_LIVE, 9)))
    assert lab.see(card(use(Owner.UNATTRIBUTED, 9.6))).condition is Condition.FOREIGN


def test_a_silent_agent_makes_its_cards_unknown_until_they_are_seen_clean_again() -> None:
    lab = Lab()
    lab.see(card())
    assert lab.first(wait_s=20).condition is Condition.FREE
    silent = lab.first(wait_s=20)
    assert (silent.condition, "40 s ago" in silent.note) == (Condition.UNKNOWN, True)
    assert lab.see(card(), times=2).condition is Condition.UNKNOWN
    assert lab.see(card()).condition is Condition.FREE


def test_a_lost_agent_is_named_and_its_card_cools_if_it_was_foreign_before() -> None:
    lab = Lab()
    lab.see(card(ALICE))
    lab.occupancy.lost(NODE, now=lab.now, why="its agent died")
    assert (lab.first().condition, lab.first().note) == (Condition.UNKNOWN, "its agent died")
    assert lab.see(card()).condition is Condition.COOLING


def test_a_driver_that_does_not_answer_makes_the_nodes_cards_unknown_and_no_others() -> None:
    lab = Lab()
    other = NodeName("lab2")
    lab.see(card())
    lab.occupancy.observe(report(lab.now, [card(index=1)], node=other), now=lab.now)
    lab.now += 5
    lab.occupancy.observe(report(lab.now, [], problem="mismatch"), now=lab.now)
    first, second = lab.occupancy.snapshot(now=lab.now)
    assert (first.node, first.condition, first.note) == (NODE, Condition.UNKNOWN, "mismatch")
    assert (second.node, second.condition) == (other, Condition.FREE)


def test_a_card_the_driver_stops_listing_is_unknown() -> None:
    lab = Lab()
    lab.see(card(), card(index=1))
    lab.see(card(index=1))
    assert [gpu.condition for gpu in lab.occupancy.snapshot(now=lab.now)] == [
        Condition.UNKNOWN,
        Condition.FREE,
    ]


@pytest.mark.parametrize("bad", [card(problem="GPU is lost"), card(total_gib=None)])
def test_a_sample_that_cannot_be_trusted_is_not_a_clean_one(bad: AttributedGpu) -> None:
    lab = Lab()
    lab.see(card(), times=5)
    assert lab.see(bad).condition is Condition.UNKNOWN
    assert lab.see(card(), times=2).condition is Condition.UNKNOWN
    assert lab.see(card()).condition is Condition.FREE


def test_a_fault_stays_until_it_is_gone_for_some_samples() -> None:
    lab = Lab()
    seen = lab.see(card(fault="Xid 79"))
    assert (seen.condition, seen.note) == (Condition.FAULTY, "Xid 79")
    assert lab.see(card(), times=2).condition is Condition.FAULTY
    lab.see(card(problem="GPU is lost"))
    assert lab.see(card(), times=2).condition is Condition.FAULTY
    assert lab.see(card()).condition is Condition.FREE


def test_holds_and_quarantine_come_before_what_was_seen_and_end() -> None:
    lab = Lab()
    lab.see(card(ALICE))
    hold = HeldCard(node=NODE, index=0, until=lab.now + 10, user="bob", reason="demo")
    seen = lab.occupancy.snapshot(now=lab.now, holds=[hold])[0]
    assert (seen.condition, seen.note) == (Condition.HELD, hold.words(lab.now))
    assert lab.occupancy.snapshot(now=lab.now + 11, holds=[hold])[0].condition is Condition.FOREIGN
    quarantined = {GpuUuid("GPU-0"): "ECC errors in job 7"}
    seen = lab.occupancy.snapshot(now=lab.now, holds=[hold], quarantined=quarantined)[0]
    assert (seen.condition, seen.note) == (
        Condition.FAULTY,
        f"ECC errors in job 7; gimbal gpus release {NODE}:0 when it is mended",
    )


def test_a_hold_says_until_when_and_how_long_still() -> None:
    now = datetime(2026, 3, 9, 15, 10).timestamp()
    hold = HeldCard(node=NODE, index=0, until=now + 4800, user="ada", reason="debugging")
    assert hold.words(now) == "held by ada until 16:30 (1 h 20 min left): debugging"
    assert hold.words(now + 4785) == "held by ada until 16:30 (15 s left): debugging"
    long = replace(hold, until=now + 86_400, reason="")
    assert long.words(now) == "held by ada until 2026-03-10 15:10 (1 d left)"


def test_the_peak_of_small_foreign_memory_is_kept_for_the_window() -> None:
    lab = Lab()
    lab.see(card(use(Owner.FOREIGN_USER, 0.4)))
    assert lab.see(card(use(Owner.FOREIGN_USER, 0.1)), times=59).foreign_bytes == int(0.4 * GIB)
    assert lab.see(card(use(Owner.FOREIGN_USER, 0.1)), times=3).foreign_bytes == int(0.1 * GIB)


def test_a_neighbour_that_left_for_good_leaves_no_peak_behind() -> None:
    """Else every job with stated memory would wait for the window, not for the cool-down."""
    lab = Lab()
    lab.see(card(ALICE))
    assert lab.see(card(), times=11).foreign_bytes == ALICE.used_bytes
    freed = lab.see(card())
    assert (freed.condition, freed.foreign_bytes) == (Condition.FREE, 0)


def test_a_clock_set_back_or_forward_frees_nothing_early_and_nothing_for_ever() -> None:
    lab = Lab()
    lab.see(card(ALICE))
    lab.now -= 86_400
    assert lab.see(card(), times=10).condition is Condition.COOLING
    assert lab.see(card(), times=4).condition is Condition.FREE
    lab.see(card(ALICE))
    lab.see(card(), times=3)
    assert lab.first(wait_s=86_400).condition is Condition.UNKNOWN
    assert lab.see(card()).condition is Condition.COOLING


def test_a_card_that_is_gone_for_an_hour_is_forgotten() -> None:
    lab = Lab()
    lab.see(card())
    for _ in range(3600 // 20 + 2):
        lab.now += 20
        snapshot = lab.occupancy.snapshot(now=lab.now)
    assert snapshot == ()


def test_more_holders_than_a_sentence_takes_are_counted() -> None:
    uses = [use(Owner.FOREIGN_USER, gib, pid) for pid, gib in enumerate([1, 2, 3, 4, 5])]
    assert Lab().see(card(*uses)).note.endswith("; 2 more hold 3.0 GiB")


@pytest.mark.parametrize("wrong", [{"stale_after_s": 7}, {"cool_down_s": -1}, {"cooldown_s": 3}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        OccupancySettings.model_validate(wrong)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["clean", "small", "ours", "clean", "bad", "problem", "lost"]),
        st.sampled_from([5.0, 4.0, 6.0, 5.5, 19.0, 0.1, 30.0, 3600.0, -3600.0]),
    ),
    min_size=8,
    max_size=60,
)
_CARDS = {
    "clean": card(),
    "bad": card(ALICE),
    "small": card(use(Owner.FOREIGN_USER, 0.2)),
    "ours": card(use(Owner.OWN_LIVE, 5)),
    "problem": card(problem="lost"),
}
_TROUBLE = ("bad", "problem", "lost")


@settings(max_examples=150, deadline=None)
@given(_EVENTS)
def test_never_usable_within_the_samples_or_the_cool_down_after_a_bad_one(
    events: list[tuple[str, float]],
) -> None:
    lab = Lab()
    clean, needed, since_bad_s = 0, 1, 1e9
    for serial, (kind, step_s) in enumerate(events):
        lab.now += step_s
        since_bad_s += max(0.0, step_s)
        if kind == "lost":
            lab.occupancy.lost(NODE, now=lab.now, why="its agent died")
        else:
            at = lab.now + serial * 1e-3
            lab.occupancy.observe(report(at, [_CARDS[kind]]), now=lab.now)
        since_bad_s = 0.0 if kind == "bad" else since_bad_s
        if kind not in _TROUBLE:
            clean += 1
        elif lab.occupancy.snapshot(now=lab.now):
            clean, needed = 0, SETTINGS.clean_samples
        for gpu in lab.occupancy.snapshot(now=lab.now):
            if gpu.condition in (Condition.FREE, Condition.OURS):
                assert clean >= needed
                assert since_bad_s >= SETTINGS.cool_down_s
            assert gpu.foreign_bytes >= 0
            assert gpu.cooling_s >= 0
