"""Validation whose numbers do not depend on the number of workers.

By default the first worker validates the whole split while the others wait: any number is allowed,
and no split can matter. A task with `sharded_validation` is called on every worker with every
w-th sample instead and returns (sum, count) pairs, which add up to the same means.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gimbal.errors import StageFailed
from gimbal.training.task import Batch, Source, TrainTask, flag
from gimbal.training.world import World


class EveryNth:
    """A source seen through every n-th sample.

    Args:
        source: The whole split.
        first: Index of the first sample.
        stride: Distance between samples.
    """

    def __init__(self, source: Source, first: int, stride: int) -> None:
        self._source = source
        self._indices = np.arange(first, len(source), stride)

    def __len__(self) -> int:
        """Return the number of samples of this share."""
        return len(self._indices)

    def fetch(self, indices: np.ndarray) -> Batch:
        """Return samples by their place in this share."""
        return self._source.fetch(self._indices[indices])


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every submodule returns to the mode it was in."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for child, mode in modes:
            child.training = mode


def validate(task: TrainTask, module: nn.Module, source: Source, world: World) -> dict[str, float]:
    """Return the validation's numbers, the same on every worker; all call it together.

    Raises:
        StageFailed: If a value is not a number (or a pair, when sharded).
    """
    with evaluating(module):
        if not flag(task, "sharded_validation"):
            return world.from_leader(_numbers(task.validate(module, source)) if world.leads else {})
        share = EveryNth(source, world.rank, world.size)
        mine = _pairs(task.validate(module, share))
    return _added(world.gathered(mine))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in values.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise StageFailed(
                f"validate() returned {type(value).__name__} for {name!r}",
                "return one number per name",
            ) from error
    return numbers


def _pairs(values: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    pairs = {}
    for name, value in values.items():
        try:
            total, count = value
            pairs[name] = (_number(total), _number(count))
        except (TypeError, ValueError) as error:
            raise StageFailed(
                f"validate() returned {value!r} for {name!r}",
                "with sharded_validation, return a (sum, count) pair per name",
            ) from error
    return pairs


def _number(value: Tensor | float) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def _added(shares: list[dict[str, tuple[float, float]]]) -> dict[str, float]:
    names = dict.fromkeys(name for share in shares for name in share)
    means = {}
    for name in names:
        pairs = [share[name] for share in shares if name in share]
        total, count = math.fsum(s for s, _ in pairs), math.fsum(c for _, c in pairs)
        means[name] = total / count if count else math.nan
    return means
