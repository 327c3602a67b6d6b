"""The optimizer of a run, from its settings and the task's parameter groups.

torch's fused kernels are used: one call a group instead of several a tensor, on CPU as on GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from gimbal.errors import StageFailed
from gimbal.training.settings import TrainSettings
from gimbal.training.task import ParameterGroups


def build_optimizer(settings: TrainSettings, groups: ParameterGroups) -> Optimizer:
    """Return the optimizer; each group keeps what it sets itself (`lr`, `weight_decay`)."""
    common: dict[str, Any] = {
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "fused": _can_fuse(groups),
    }
    parameters = [dict(group) for group in groups]
    if settings.optimizer == "sgd":
        return SGD(parameters, momentum=settings.momentum, **common)
    kind = AdamW if settings.optimizer == "adamw" else Adam
    return kind(parameters, betas=settings.betas, **common)


def _can_fuse(groups: ParameterGroups) -> bool:
    return all(
        parameter.device.type in ("cpu", "cuda") and torch.is_floating_point(parameter)
        for group in groups
        for parameter in group["params"]
    )


def checked_groups(module: nn.Module, groups: ParameterGroups) -> list[dict[str, Any]]:
    """Return the groups with names, their parameters as lists, once all is in order.

    Raises:
        StageFailed: If a group is empty, a parameter is in two groups, or one that wants a
            gradient is in none.
    """
    named = []
    for index, group in enumerate(groups):
        parameters = [p for p in group["params"] if p.requires_grad]
        name = str(group.get("name", f"group{index}" if len(groups) > 1 else "all"))
        if not parameters:
            raise StageFailed(
                f"parameter group {name!r} has nothing to train",
                "drop the group in the task's build(), or set requires_grad on its parameters",
            )
        named.append({**group, "params": parameters, "name": name})
    _each_once(module, named)
    return named


def _each_once(module: nn.Module, groups: Sequence[dict[str, Any]]) -> None:
    seen = [id(parameter) for group in groups for parameter in group["params"]]
    if len(seen) != len(set(seen)):
        raise StageFailed(
            "a parameter is in two parameter groups", "list each parameter once in build()"
        )
    left = [
        name for name, p in module.named_parameters() if p.requires_grad and id(p) not in set(seen)
    ]
    if left:
        raise StageFailed(
            f"no parameter group holds {', '.join(left[:5])}{' …' if len(left) > 5 else ''}",
            "add them to a group in the task's build(), or call requires_grad_(False) on them",
        )
