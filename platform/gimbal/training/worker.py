"""What runs inside one training worker, whoever started it.

The device is chosen after the worker's first acts: they may change what CUDA is told of the cards,
which it reads once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import torch

from gimbal.errors import GimbalError
from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.packages import packages_that_ran
from gimbal.experiment.provenance import machine
from gimbal.training.failures import recorded
from gimbal.training.hooks import NoWatch, WorkerContext, WorkerWatch, run_hooks
from gimbal.training.loop import Loop
from gimbal.training.orders import Orders, Plan, unpacked
from gimbal.training.setup import build, quiet_torch
from gimbal.training.task import TrainTask
from gimbal.training.world import World

PACKAGES_FILE = "packages.json"


def work(orders: Orders, context: WorkerContext) -> dict[str, Any]:
    """Train as one of the workers and return the run's numbers.

    Raises:
        WorkerFailure: For whatever went wrong, with its traceback on disk.
    """
    watch = orders.watch or NoWatch()
    steps = _Steps()
    try:
        place = cuda_place(context.gpu_ids)
        run_hooks(orders.hooks, context)
        watch.begin(context)
        if orders.threads is not None:
            torch.set_num_threads(orders.threads)
        stage, inputs = unpacked(orders.stage)
        world = World(rank=context.rank, size=context.workers, device=own_device(place))
        return train(stage.task(inputs), orders.plan, world, steps, watch)
    except Exception as error:  # the border of this process: everything is translated
        watch.failed(error, steps.done)
        raise recorded(
            error, rank=context.rank, step=steps.done, out_dir=orders.plan.out_dir
        ) from error
    finally:
        watch.end()


class _Steps:
    """How far training has come, for an error to name."""

    def __init__(self) -> None:
        self.loop: Loop | None = None

    @property
    def done(self) -> int:
        return self.loop.step if self.loop is not None else -1


def train(
    task: TrainTask,
    plan: Plan,
    world: World,
    steps: _Steps | None = None,
    watch: WorkerWatch | None = None,
) -> dict[str, Any]:
    """Train a task; with several workers torch's process group must be up.

    Args:
        task: What to train.
        plan: How.
        world: This worker's place.
        steps: Told how far training has come.
        watch: Looks around before every step.

    Returns:
        The run's numbers, see `summary.summarise`.
    """
    quiet_torch()
    loop = Loop(task, build(task, plan, world), plan, world, watch)
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


def cuda_place(gpu_ids: Sequence[str]) -> int:
    """Return where this worker's first card stands among those its process may see.

    Ray Train shows a node's cards to all of its workers there, and the order is that of the
    variable, whatever names it has for them.
    """
    if not gpu_ids:
        return 0
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return int(gpu_ids[0]) if gpu_ids[0].isdigit() else 0
    visible = [name.strip() for name in listed.split(",")]
    return visible.index(gpu_ids[0]) if gpu_ids[0] in visible else 0


def own_device(place: int) -> torch.device:
    """Return a worker's device and make it torch's default, which NCCL's objects travel through."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", place)
    torch.cuda.set_device(device)
    return device
