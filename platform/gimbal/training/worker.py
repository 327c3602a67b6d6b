"""What runs inside one training worker, whoever started it."""

from __future__ import annotations

import threading
from typing import Any

import torch

from gimbal.errors import GimbalError
from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.provenance import machine, packages_that_ran
from gimbal.training.failures import recorded
from gimbal.training.hooks import WorkerContext, run_hooks
from gimbal.training.loop import Loop
from gimbal.training.orders import Orders, Plan, unpacked
from gimbal.training.setup import build, quiet_torch
from gimbal.training.task import TrainTask
from gimbal.training.world import World

PACKAGES_FILE = "packages.json"


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
