"""Building what a worker trains with, and refusing what would break the world-size law."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gimbal.errors import StageFailed
from gimbal.training.batches import Batches
from gimbal.training.exact import ExactGradient
from gimbal.training.keyed import depends_on_share, seed_torch
from gimbal.training.lengths import require_expected
from gimbal.training.optimizers import build_optimizer, checked_groups
from gimbal.training.order import SampleOrder
from gimbal.training.orders import Plan
from gimbal.training.task import TrainTask, flag
from gimbal.training.update import Update
from gimbal.training.world import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The parts one worker trains with."""

    module: nn.Module
    groups: Sequence[dict[str, Any]]
    peaks: tuple[float, ...]
    optimizer: Optimizer
    order: SampleOrder
    batches: Batches
    gradient: ExactGradient
    update: Update


def build(task: TrainTask, plan: Plan, world: World) -> Kit:
    """Build the module, alike on every worker, and everything around it.

    Raises:
        StageFailed: If the task cannot be trained as it is.
    """
    settings = plan.settings
    seed_torch(world.device, plan.seed, "build")
    module, given = task.build()
    module.to(world.device)
    groups = checked_groups(module, given)
    optimizer = build_optimizer(settings, groups)
    order, batches = _data(task, plan, world)
    _refuse_batch_norm(module, world, accumulates=batches.accumulates)
    _warn_of_dropout(module, world)
    if settings.compile:
        module.compile()
    gradient = ExactGradient(
        task,
        module,
        world,
        groups=[group["params"] for group in groups],
        global_batch=settings.global_batch,
        accumulates=batches.accumulates,
        bf16=settings.precision == "bf16",
    )
    return Kit(
        module=module,
        groups=groups,
        peaks=tuple(float(group["lr"]) for group in optimizer.param_groups),
        optimizer=optimizer,
        order=order,
        batches=batches,
        gradient=gradient,
        update=Update(
            optimizer,
            gradient.reduction,
            groups,
            clip_norm=settings.clip_norm,
            global_batch=settings.global_batch,
            find_unused=flag(task, "find_unused_parameters"),
        ),
    )


def _data(task: TrainTask, plan: Plan, world: World) -> tuple[SampleOrder, Batches]:
    source = task.source("train")
    if len(source) == 0:
        raise StageFailed(
            "the training split is empty", "check the data stage: it kept no item of that split"
        )
    require_expected(len(source), plan.settings)
    order = SampleOrder(len(source), plan.settings.global_batch, plan.seed)
    together = flag(task, "uses_global_statistics")
    batches = Batches(source, order, world, largest=plan.largest, empty_batches=together)
    if together and batches.accumulates:
        raise StageFailed(
            "the task uses statistics of the whole global batch, which cannot be accumulated: a "
            f"worker's share of {plan.settings.global_batch} samples is above "
            f"max_batch_per_worker = {plan.largest}",
            "raise resources.max_batch_per_worker or resources.workers, or lower global_batch",
        )
    return order, batches


def _refuse_batch_norm(module: nn.Module, world: World, *, accumulates: bool) -> None:
    if world.size == 1 and not accumulates:
        return
    for name, child in module.named_modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.training:
            raise StageFailed(
                f"{name} is a batch norm: its statistics would depend on the number of workers",
                "use LayerNorm or GroupNorm, freeze it with eval() in build(), or compute the "
                "statistics with gimbal.training.collectives.global_mean_var",
            )


def _warn_of_dropout(module: nn.Module, world: World) -> None:
    names = depends_on_share(module)
    if names and world.leads:
        logger.warning(
            "%s draws by place in a worker's share, so results will differ with the number of "
            "workers; gimbal.training.keyed.keyed_dropout draws by sample",
            ", ".join(names[:3]),
        )


def quiet_torch() -> None:
    """Silence what torch warns of in every worker and nobody can act on."""
    import warnings

    # A mapped Arrow block is read-only, and nothing writes to a batch.
    warnings.filterwarnings("ignore", message=".*not writable.*")
