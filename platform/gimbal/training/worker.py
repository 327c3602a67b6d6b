"""What runs inside one training worker, whoever started it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gimbal.errors import GimbalError
from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.provenance import machine, packages_that_ran
from gimbal.experiment.stage import StageInputs
from gimbal.training.failures import recorded
from gimbal.training.hooks import WorkerContext, WorkerHook, run_hooks
from gimbal.training.loop import Loop
from gimbal.training.setup import Plan, build, quiet_torch
from gimbal.training.stage import TrainStage
from gimbal.training.task import TrainTask
from gimbal.training.world import World

PACKAGES_FILE = "packages.json"


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the driver sends to every worker.

    Attributes:
        plan: What is trained.
        hooks: The worker's first acts.
        threads: CPU threads torch may use; None: as they are.
        stage: The pickled stage and its inputs, unpacked only after the hooks have passed.
    """

    plan: Plan
    hooks: tuple[WorkerHook, ...]
    threads: int | None
    stage: bytes


def work(orders: Orders, context: WorkerContext, device: torch.device) -> dict[str, Any]:
    """Train as one of the workers and return the run's numbers.

    Raises:
        WorkerFailure: For whatever went wrong, with its traceback on disk.
    """
    world = World(rank=context.rank, size=context.workers, device=device)
    steps = _Steps()
    try:
        run_hooks(orders.hooks, context)
        if orders.threads is not None:
            torch.set_num_threads(orders.threads)
        stage, inputs = unpacked(orders.stage)
        return train(stage.task(inputs), orders.plan, world, steps)
    except Exception as error:  # the border of this process: everything is translated
        raise recorded(
            error, rank=world.rank, step=steps.done, out_dir=orders.plan.out_dir
        ) from error


class _Steps:
    """How far training has come, for an error to name."""

    def __init__(self) -> None:
        self.loop: Loop | None = None

    @property
    def done(self) -> int:
        return self.loop.step if self.loop is not None else -1


def train(task: TrainTask, plan: Plan, world: World, steps: _Steps | None = None) -> dict[str, Any]:
    """Train a task; with several workers torch's process group must be up.

    Args:
        task: What to train.
        plan: How.
        world: This worker's place.
        steps: Told how far training has come.

    Returns:
        The run's numbers, see `summary.summarise`.
    """
    quiet_torch()
    loop = Loop(task, build(task, plan, world), plan, world)
    if steps is not None:
        steps.loop = loop
    noting = threading.Thread(target=_note_packages, args=(plan, world), daemon=True)
    if world.leads:
        loop.after_first_step = noting.start
    numbers = loop.run()
    if noting.ident is not None:
        noting.join()
    return numbers


def _note_packages(plan: Plan, world: World) -> None:
    """Write which packages trained, from where; a thread, since it reads every installed one."""
    content = {
        **machine(),
        "device": str(world.device),
        "torch_threads": torch.get_num_threads(),
        "packages": packages_that_ran(),
    }
    try:
        atomic_write_json(plan.out_dir / PACKAGES_FILE, content)
    except GimbalError:
        return  # a full disk is the checkpoint's to report


def own_device() -> torch.device:
    """Return the device of a worker that trains alone."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def packed(stage: TrainStage, inputs: StageInputs) -> bytes:
    """Pickle a stage and its inputs, classes of a script or notebook included."""
    from ray import cloudpickle

    content: bytes = cloudpickle.dumps((stage, dict(inputs)))  # type: ignore[no-untyped-call]
    return content


def unpacked(stage: bytes) -> tuple[TrainStage, StageInputs]:
    """Return the stage and inputs that `packed` was given."""
    content: tuple[TrainStage, StageInputs] = pickle.loads(stage)
    return content


def work_under_ray_train(config: dict[Any, Any]) -> dict[str, Any]:
    """Train as one worker of a Ray Train group; `config` holds the `orders`."""
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    cuda = torch.cuda.is_available()
    device = ray.train.torch.get_device() if cuda else torch.device("cpu")
    return work(
        config["orders"], _context(context.get_world_rank(), context.get_world_size()), device
    )


def work_alone(orders: Orders) -> dict[str, Any]:
    """Train as the only worker, in a Ray task."""
    return work(orders, _context(0, 1), own_device())


def work_here(orders: Orders) -> dict[str, Any]:
    """Train as the only worker, in this process."""
    return work(orders, WorkerContext(rank=0, workers=1, gpus=0.0), own_device())


def _context(rank: int, workers: int) -> WorkerContext:
    import ray

    ids: Sequence[str] = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return WorkerContext(rank=rank, workers=workers, gpus=float(len(ids)))
