"""Backfill, the starvation bound, and cards that are kept."""

from __future__ import annotations

from policy_support import card, cards, decided, job, running

from gimbal.scheduling.model import Condition, Gpu, Running, WaitReason
from gimbal.scheduling.settings import PolicySettings

LONG = 13 * 3600


def half_busy(count: int, free: int) -> tuple[list[Gpu], list[Running]]:
    """Return a node of which the first `free` cards are free and each other runs a job."""
    gpus = [card(i, Condition.FREE if i < free else Condition.OURS) for i in range(count)]
    return gpus, [running(f"r{gpu.index}", [gpu], priority=5) for gpu in gpus[free:]]


def test_a_wide_job_is_gone_around_before_the_bound() -> None:
    gpus, holding = half_busy(4, 2)
    result = decided(gpus, [job("wide", 4, waited=LONG - 3601), job("one")], holding=holding)
    assert result.why("wide") is WaitReason.GPU_OWN
    assert result.on("one") == ["lab:0"]


def test_after_the_bound_cards_are_kept_and_others_wait_behind() -> None:
    gpus, holding = half_busy(4, 2)
    result = decided(gpus, [job("wide", 4, waited=LONG), job("one")], holding=holding)
    assert result.why("wide") is WaitReason.GPU_OWN
    assert result.detail("wide").endswith("2 cards kept for it, as it has waited long")
    assert result.why("one") is WaitReason.BEHIND
    assert "2 kept for a job that is ahead" in result.detail("one")


def test_a_starving_job_goes_before_lighter_users_of_its_priority() -> None:
    queue = [job("old", waited=LONG, user="alice"), job("new", user="bob")]
    assert list(decided(cards(1), queue, usage={"alice": 1e9}).places) == ["old"]


def test_a_higher_priority_still_goes_before_a_starving_job() -> None:
    queue = [job("old", waited=LONG), job("urgent", priority=1)]
    assert list(decided(cards(1), queue).places) == ["urgent"]


def test_no_card_idles_for_a_colleagues_process() -> None:
    """Foreign memory may stay for days: the wide job waits, small ones go on."""
    gpus = [*cards(2), card(2, Condition.FOREIGN), card(3, Condition.OURS)]
    holding = [running("r", [gpus[3]])]
    result = decided(gpus, [job("wide", 4, waited=LONG), job("one")], holding=holding)
    assert result.why("wide") is WaitReason.GPU_FOREIGN
    assert result.places


def test_a_cool_down_is_worth_waiting_for() -> None:
    gpus = [card(0), card(1, Condition.COOLING, cooling_s=30.0)]
    result = decided(gpus, [job("wide", 2, waited=LONG), job("one")])
    assert result.why("one") is WaitReason.BEHIND


def test_cards_the_starving_job_cannot_use_are_not_kept() -> None:
    gpus, holding = half_busy(3, 1)
    small = card(9, total=8)
    queue = [job("wide", 2, memory=20, waited=LONG), job("one", memory=4)]
    assert decided([*gpus, small], queue, holding=holding).on("one") == ["lab:9"]


def test_shared_cards_run_empty_for_a_starving_job() -> None:
    """Else new shares would keep the card from ever being empty."""
    gpus = [card(i, Condition.OURS) for i in range(2)]
    holding = [
        running("r0", [gpus[0]], share=0.2, memory=2),
        running("r1", [gpus[0]], share=0.2, memory=2),
        running("r2", [gpus[1]], share=0.2, memory=2),
    ]
    queue = [job("whole", waited=LONG), *(job(f"s{i}", share=0.2, memory=2) for i in range(5))]
    result = decided(gpus, queue, holding=holding)
    given = {uuid for name in result.places for uuid in result.on(name)}
    assert given == {"lab:0"}, "the card with the fewest jobs is closed"


def test_cards_of_jobs_that_leave_are_spoken_for() -> None:
    """A wide job of any age waits seconds for the cards; nobody may snatch the free one."""
    gpus = [card(0), card(1, Condition.OURS)]
    leaving = running("r", [gpus[1]], stopping=True)
    result = decided(gpus, [job("wide", 2, waited=9), job("one", waited=1)], holding=[leaving])
    assert result.why("wide") is WaitReason.PREEMPTING
    assert result.why("one") is WaitReason.BEHIND
    assert not result.preempts


def test_one_leaving_card_is_promised_to_one_job() -> None:
    gpus = [card(0, Condition.OURS), card(1, Condition.OURS)]
    holding = [running("r0", [gpus[0]], stopping=True), running("r1", [gpus[1]], priority=9)]
    result = decided(gpus, [job("a", waited=9), job("b", waited=1)], holding=holding)
    assert result.why("a") is WaitReason.PREEMPTING
    assert result.why("b") is not WaitReason.PREEMPTING


def test_a_leaving_sharer_makes_room_for_one_share() -> None:
    gpu = card(0, Condition.OURS)
    holding = [
        running("r0", [gpu], share=0.5, memory=10, stopping=True),
        running("r1", [gpu], share=0.5, memory=10),
    ]
    queue = [job(f"s{i}", share=0.5, memory=8, waited=9 - i) for i in range(2)]
    result = decided([gpu], queue, holding=holding)
    assert result.why("s0") is WaitReason.PREEMPTING
    assert result.why("s1") is WaitReason.GPU_OWN


def test_the_bound_is_a_setting() -> None:
    gpus, holding = half_busy(2, 1)
    queue = [job("wide", 2, waited=100), job("one")]
    settings = PolicySettings(starvation_s=60)
    assert decided(gpus, queue, holding=holding, settings=settings).why("one") is WaitReason.BEHIND


def test_only_the_first_starving_job_has_shared_cards_run_empty() -> None:
    """Else a backlog of old jobs would end all sharing."""
    gpus = [card(i, Condition.OURS) for i in range(3)]
    holding = [running(f"r{gpu.index}", [gpu], share=0.2, memory=2) for gpu in gpus]
    queue = [job(f"old{i}", waited=LONG + i) for i in range(3)]
    queue += [job(f"s{i}", share=0.8, memory=2) for i in range(3)]
    result = decided(gpus, queue, holding=holding)
    assert sorted(uuid for name in result.places for uuid in result.on(name)) == ["lab:1", "lab:2"]


def test_only_the_job_for_which_cards_are_kept_is_told_so() -> None:
    gpus, holding = half_busy(4, 2)
    queue = [job("first", 4, waited=LONG + 1), job("second", 4, waited=LONG)]
    result = decided(gpus, queue, holding=holding)
    assert "kept for it" in result.detail("first")
    assert "kept for it" not in result.detail("second")
    assert result.why("second") is WaitReason.GPU_OWN
