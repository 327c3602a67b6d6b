"""The loader's arithmetic (multicar.md A8): the table, and a count that shares nothing with it."""

from __future__ import annotations

import pytest

from gimbal_multicar.checking.finding import Status
from gimbal_multicar.checking.loader import (
    batch_size,
    judge_loader,
    plan_epoch,
    samples_for,
    simulate_epoch,
    validation_batch_size,
)

POOL = (2, 3, 4)


@pytest.mark.parametrize(
    ("samples", "world", "steps"),
    [(40_000, 4, 5000), (40_000, 5, 4000), (50_000, 5, 5000), (50_000, 10, 2500)],
)
def test_the_table_of_the_notes(samples: int, world: int, steps: int) -> None:
    plan = plan_epoch(samples, views=POOL, max_images=4, world_size=world)
    assert plan.batch_sizes == {2: 2, 3: 1, 4: 1}
    assert plan.steps == steps


def test_ten_workers_need_twice_the_samples_for_5000_steps() -> None:
    plan = plan_epoch(50_000, views=POOL, max_images=4, world_size=10)
    assert samples_for(5000, plan) == 100_000
    assert plan_epoch(100_000, views=POOL, max_images=4, world_size=10).steps == 5000


def test_two_thirds_of_the_samples_are_used_on_average() -> None:
    assert plan_epoch(40_000, views=POOL, max_images=4, world_size=4).mean_share == pytest.approx(
        2 / 3
    )
    fixed = plan_epoch(40_000, views=(4,), max_images=4, world_size=4)
    assert (fixed.steps, fixed.mean_share) == (10_000, 1.0)


@pytest.mark.parametrize(
    ("views", "max_images", "size"), [(4, 4, 2), (4, 3, 0), (4, 1, 0), (8, 160, 40), (2, 4, 4)]
)
def test_validation_batches_have_no_lower_bound(views: int, max_images: int, size: int) -> None:
    assert validation_batch_size(views, max_images) == size
    assert batch_size(views, max_images) >= 1


@pytest.mark.parametrize("samples", [1, 7, 64, 301])
@pytest.mark.parametrize("world", [1, 3, 4])
@pytest.mark.parametrize(("views", "max_images"), [(POOL, 4), (POOL, 12), ((4,), 4), ((2, 7), 3)])
def test_walking_through_the_batches_counts_the_same_steps(
    samples: int, world: int, views: tuple[int, ...], max_images: int
) -> None:
    plan = plan_epoch(samples, views=views, max_images=max_images, world_size=world)
    walked = simulate_epoch(samples, views=views, max_images=max_images, world_size=world)
    assert walked.steps == (plan.steps,) * world


def test_walking_uses_the_share_that_is_planned() -> None:
    plan = plan_epoch(3000, views=POOL, max_images=4, world_size=2)
    walked = simulate_epoch(3000, views=POOL, max_images=4, world_size=2)
    assert walked.used / 3000 == pytest.approx(plan.mean_share, abs=0.03)


def test_what_crashes_is_named() -> None:
    plan = plan_epoch(1, views=(2, 4), max_images=3, world_size=2)
    length, views, validation = judge_loader(plan, {2: 5, 4: 0}, "train", max_images=3)
    assert length.status is Status.FAIL and "no step" in length.cause
    assert length.expected == "at least 2 samples"
    assert views.status is Status.WARN and "no moment has 4 cars" in views.cause
    assert validation.status is Status.FAIL and "2 * (3 // 4) = 0" in validation.cause
    assert "at least 4" in validation.hint


def test_a_sound_loader_is_sound() -> None:
    plan = plan_epoch(100, views=(2,), max_images=4)
    assert {f.status for f in judge_loader(plan, {2: 9}, "train", max_images=4)} == {Status.OK}


def test_a_set_of_single_cars_is_told_that_no_pair_exists():
    plan = plan_epoch(0, views=(2, 3, 4), max_images=4)
    length, *_ = judge_loader(plan, {}, "train", max_images=4)
    assert length.status is Status.FAIL
    assert "no pair of cars exists" in length.cause
    assert "loader.num_views=[1]" in length.hint and "samples_per_epoch" not in length.hint
    few, *_ = judge_loader(plan_epoch(1, views=(2,), max_images=4), {2: 1}, "train", max_images=4)
    assert "too few samples" in few.cause
