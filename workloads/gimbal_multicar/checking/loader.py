"""How long an epoch of the source's loader is, and what of the data it uses (multicar.md A8).

There a batch has one number of views nv, drawn anew for each batch from a pool, and
bs(nv) = max(1, M // nv) samples, where M is the most images a worker takes. All workers draw the
same sequence and take its batches in turn. The length is promised for the *largest* batch,

    len(loader) = (N // max_nv bs(nv)) // world,

so an epoch whose batches are smaller on average leaves samples unused. `simulate_epoch` counts the
same by walking through the batches; it shares no arithmetic with `plan_epoch`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, ok


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochPlan:
    """One epoch in numbers.

    Attributes:
        samples: N, samples an epoch is drawn from.
        world_size: Workers.
        batch_sizes: Views of a sample to samples of a batch.
        steps: len(loader), batches of each worker.
        mean_share: Mean share of N that the batches of all workers hold.
        validation_batches: Views of a sample to samples of a validation batch; 0 crashes.
    """

    samples: int
    world_size: int
    batch_sizes: Mapping[int, int]
    steps: int
    mean_share: float
    validation_batches: Mapping[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedEpoch:
    """One epoch as its batches come.

    Attributes:
        steps: Batches of each worker, one number a worker.
        used: Different samples that came.
    """

    steps: tuple[int, ...]
    used: int


def batch_size(views: int, max_images: int) -> int:
    """Return the samples of a training batch: as many as fit, and at least one."""
    return max(1, max_images // views)


def validation_batch_size(views: int, max_images: int) -> int:
    """Return the samples of the source's validation batch, which has no lower bound."""
    return 2 * (max_images // views)


def plan_epoch(
    samples: int, *, views: Sequence[int], max_images: int, world_size: int = 1
) -> EpochPlan:
    """Return an epoch's numbers.

    Args:
        samples: N.
        views: Pool from which each batch's views are drawn.
        max_images: M, most images of a batch on one worker.
        world_size: Workers.
    """
    sizes = {nv: batch_size(nv, max_images) for nv in sorted(set(views))}
    largest = max(sizes.values())
    steps = samples // largest // world_size
    mean_size = sum(sizes[nv] for nv in views) / len(views)
    return EpochPlan(
        samples=samples,
        world_size=world_size,
        batch_sizes=sizes,
        steps=steps,
        mean_share=steps * world_size * mean_size / samples if samples else 0.0,
        validation_batches={nv: validation_batch_size(nv, max_images) for nv in sizes},
    )


def samples_for(steps: int, plan: EpochPlan) -> int:
    """Return the N that gives so many steps with a plan's batches and workers."""
    return steps * max(plan.batch_sizes.values()) * plan.world_size


def simulate_epoch(
    samples: int, *, views: Sequence[int], max_images: int, world_size: int = 1, seed: int = 777
) -> SimulatedEpoch:
    """Walk through an epoch batch by batch.

    Batches are handed out in turn for as long as even the largest possible one is sure to be
    there for every worker of a round; what is left over is not used.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(samples)
    worst = max(batch_size(nv, max_images) for nv in views)
    steps, used, at, promised = [0] * world_size, set[int](), 0, 0
    while promised + worst * world_size <= samples:
        for worker in range(world_size):
            nv = int(rng.choice(np.asarray(views)))
            taken = order[at : at + batch_size(nv, max_images)]
            used.update(int(i) for i in taken)
            at += len(taken)
            steps[worker] += 1
        promised += worst * world_size
    return SimulatedEpoch(steps=tuple(steps), used=len(used))


def judge_loader(
    plan: EpochPlan, moments_with: Mapping[int, int], split: str, *, max_images: int
) -> tuple[Finding, ...]:
    """Return whether an epoch has steps, data for each number of views, and a validation batch.

    Args:
        plan: See `plan_epoch`.
        moments_with: Views to moments at which so many cars are near enough.
        split: Which split.
        max_images: M.
    """
    return (
        _length(plan, split),
        _views(plan, moments_with, split),
        _validation(plan, split, max_images),
    )


def _length(plan: EpochPlan, split: str) -> Finding:
    name = f"loader length ({split})"
    largest = max(plan.batch_sizes.values())
    sum_ = f"{plan.samples} // {largest} // {plan.world_size}"
    if plan.steps:
        unused = f"; {1 - plan.mean_share:.0%} of the samples stay unused in an epoch, on average"
        hint = "equal batches (one number in loader.num_views) use every sample"
        wasted = plan.mean_share < 0.99
        return ok(name, f"{plan.steps} steps = {sum_}{unused if wasted else ''}",
                  hint=hint if wasted else "")  # fmt: skip
    cause = "an epoch has no step: too few samples for the largest batch on every worker"
    hint = (
        "set loader.samples_per_epoch, or lower loader.world_size or loader.max_images_per_worker"
    )
    if not plan.samples:
        cause, hint = _no_sample(min(plan.batch_sizes))
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"0 steps = {sum_}",
        expected=f"at least {samples_for(1, plan)} samples",
        cause=cause,
        hint=hint,
    )


def _no_sample(views: int) -> tuple[str, str]:
    """Return why there is no sample at all, and what to do."""
    cars = "no pair of cars" if views == 2 else f"no {views} cars" if views > 2 else "no car"
    return (
        f"an epoch has no sample: {cars} exists at any moment, or none near enough",
        "use scenarios of more cars (`gimbal multicar synthesize --agents 4` makes such), raise "
        "loader.max_distance_m, or, to learn from single cars, set loader.num_views=[1]",
    )


def _views(plan: EpochPlan, moments_with: Mapping[int, int], split: str) -> Finding:
    name = f"moments for each number of cars ({split})"
    measured = ", ".join(f"{nv} cars: {moments_with.get(nv, 0)}" for nv in plan.batch_sizes)
    starved = [nv for nv in plan.batch_sizes if not moments_with.get(nv, 0)]
    if not starved:
        return ok(name, measured)
    return Finding(
        name=name,
        status=Status.WARN,
        measured=measured,
        expected="at least one each",
        cause=f"no moment has {' or '.join(map(str, starved))} cars near enough: such batches "
        "repeat cars or crash",
        hint="take those numbers out of loader.num_views, or raise loader.max_distance_m",
    )


def _validation(plan: EpochPlan, split: str, max_images: int) -> Finding:
    name = f"validation batch ({split})"
    sizes = plan.validation_batches
    measured = ", ".join(f"{nv} cars: {size}" for nv, size in sizes.items())
    empty = [nv for nv, size in sizes.items() if size == 0]
    if not empty:
        return ok(name, measured)
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=measured,
        expected="at least 1",
        cause=f"2 * ({max_images} // {empty[0]}) = 0: the source's validation loader crashes with "
        f"{empty[0]} cars a sample",
        hint=f"set loader.max_images_per_worker to at least {max(empty)}",
    )
