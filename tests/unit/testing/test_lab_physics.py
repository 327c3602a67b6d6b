"""The simulated lab: who holds memory, who dies, and what is called a death."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gimbal.testing.lab import Lab
from gimbal.testing.lab_attempt import (
    CHECKPOINT_EVERY_S,
    EVAL_EVERY_S,
    FIRST_BATCH_S,
    LOAD_S,
    PATIENCE_S,
    START_S,
    End,
    LabAttempt,
)
from gimbal.testing.lab_scenario import GIB, LabJob, Scenario, Shape, Visit, draw

TRAINS_FROM_S = START_S + LOAD_S


def job(need: float = 20, *, gpus: int = 1, work_s: float = 1000) -> LabJob:
    return LabJob(
        name="job",
        user="u",
        submitted_s=0,
        gpus=gpus,
        need_bytes=int(need * GIB),
        work_s=work_s,
    )


def visit(arrive_s: float, leave_s: float = 1e6, *, card: int = 0, grow_s: float = 5.0) -> Visit:
    return Visit(card=card, arrive_s=arrive_s, leave_s=leave_s, grow_s=grow_s, full_bytes=14 * GIB)


def lab(*visits: Visit, cards: int = 1) -> Lab:
    return Lab(Scenario(shape=Shape(cards=cards), jobs=(job(),), visits=visits))


def attempt(
    world: Lab, *, guarded: bool, at_s: float = 0.0, until_s: float = 5000.0, **of: float
) -> LabAttempt:
    world.advance(at_s)
    wanted = job(**of)  # type: ignore[arg-type]
    found = world.start("a", wanted, world.cards[: wanted.gpus], guarded=guarded)
    world.advance(until_s)
    return found


@pytest.mark.parametrize("guarded", [True, False])
def test_an_undisturbed_job_takes_its_start_and_its_work(guarded: bool) -> None:
    found = attempt(lab(), guarded=guarded)
    assert found.end is End.DONE
    assert found.ended_s == pytest.approx(TRAINS_FROM_S + 1000)
    assert found.useful_s(1e9) == pytest.approx(1000)
    assert not found.is_death


def test_who_takes_its_memory_at_once_keeps_it_and_the_colleague_finds_none() -> None:
    world = lab(visit(START_S + 1))
    found = attempt(world, guarded=True)
    assert found.end is End.DONE
    assert not found.is_death


def test_who_does_not_dies_at_its_next_step_after_a_colleague_came() -> None:
    world = lab(visit(START_S + 1))
    found = attempt(world, guarded=False)
    assert (found.end, found.is_death) == (End.DIED, True)
    assert found.ended_s <= TRAINS_FROM_S + FIRST_BATCH_S


def test_a_death_loses_the_work_since_the_last_checkpoint() -> None:
    """Nine GiB fit beside fourteen until the evaluation asks for the rest."""
    world = lab(visit(TRAINS_FROM_S + 500))
    found = attempt(world, guarded=False, need=11, work_s=2000)
    assert found.end is End.DIED
    assert found.ended_s == pytest.approx(TRAINS_FROM_S + EVAL_EVERY_S)
    assert world.done_s["job"] == CHECKPOINT_EVERY_S
    assert found.useful_s(1e9) == pytest.approx(CHECKPOINT_EVERY_S)


def test_a_colleague_who_comes_during_the_start_is_a_bounce_in_seconds() -> None:
    found = attempt(lab(visit(10)), guarded=True)
    assert (found.end, found.is_death) == (End.BOUNCED, False)
    assert found.ended_s == pytest.approx(START_S + PATIENCE_S)


def test_a_bounce_off_a_colleague_who_was_there_at_admission_counts_as_a_death() -> None:
    found = attempt(lab(visit(10)), guarded=True, at_s=60)
    assert (found.end, found.is_death) == (End.BOUNCED, True)


def test_what_libraries_take_after_the_guard_can_still_be_missing_and_counts() -> None:
    found = attempt(lab(visit(1, grow_s=10)), guarded=True, need=9.9)
    assert (found.end, found.is_death) == (End.DIED, True)


def test_beside_a_colleague_training_goes_at_half_speed_and_is_not_useful() -> None:
    """A job of six GiB trains 300 s alone, 200 s beside him, and the rest alone."""
    at = TRAINS_FROM_S + 300
    found = attempt(lab(visit(at, at + 200)), guarded=True, need=6)
    assert found.ended_s == pytest.approx(TRAINS_FROM_S + 1000 + 100)
    assert found.useful_s(1e9) == pytest.approx(900)
    assert found.useful_s(TRAINS_FROM_S + 250) == pytest.approx(250)


def test_a_gang_lives_and_dies_as_one() -> None:
    world = lab(visit(0, card=1), cards=2)
    found = attempt(world, guarded=False, gpus=2)
    assert found.end is End.DIED
    assert not any(card.own for card in world.cards)


def test_a_seed_draws_the_same_lab_each_time_and_another_one_another() -> None:
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_a_drawn_lab_is_what_its_shape_says() -> None:
    shape = Shape(jobs=50)
    drawn = draw(1, shape)
    last_s = drawn.jobs[-1].submitted_s
    work = sum(job.gpus * job.work_s for job in drawn.jobs)
    assert work / drawn.unwanted_s(last_s) == pytest.approx(shape.load, rel=0.25)
    for card in range(shape.cards):
        visits = [visit for visit in drawn.visits if visit.card == card]
        assert all(a.leave_s < b.arrive_s for a, b in pairwise(visits))
