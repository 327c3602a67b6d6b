"""What a workload hands to training: a module, data and a loss made of (sum, count) pairs.

A loss term is a pair because a mean cannot be averaged again: workers hold different numbers of
points, rays or valid pixels, and only sums and counts add up to the number one worker would have
found. `None` as the count means "one per sample", which needs no communication at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

Batch: TypeAlias = dict[str, Any]
"""Arrays by name; the first axis of each is the sample unless the task says otherwise."""

Count: TypeAlias = Tensor | float | int | None
LossTerms: TypeAlias = Mapping[str, tuple[Tensor, Count]]
"""Term name to (sum over the samples, scalar; how many things were summed)."""

ParameterGroups: TypeAlias = Sequence[dict[str, Any]]
"""As torch takes them: `params`, and optionally `name`, `lr`, `weight_decay`."""

TermWeights: TypeAlias = Mapping[str, float]


@runtime_checkable
class Source(Protocol):
    """Random access to one split."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def fetch(self, indices: np.ndarray) -> Batch:
        """Return the samples of `indices` (int64 [B]) as numpy arrays or torch tensors.

        Called from one thread at a time, which need not be the one that made the source; draws
        from no global generator.
        """
        ...


@runtime_checkable
class TrainTask(Protocol):
    """One thing to train.

    Optional attributes, read if present:

    - `term_weights`: `{term: weight}` or a function `step -> {term: weight}`; missing terms
      weigh 1.
    - `counts(batch, step) -> {term: count}`: the counts without running the module; saves the
      counting pass when a loss of several terms is accumulated.
    - `sample_ids(indices) -> sequence`: names for bad_batches.json; else the indices.
    - `find_unused_parameters` (bool): some parameters take no part in some steps.
    - `uses_global_statistics` (bool): the loss calls `gimbal.training.collectives`, so every
      worker must call it exactly once a step, if need be with an empty batch.
    - `plan_note` (str): what a step holds, said with the lengths before the first step.
    - `sharded_validation` (bool): `validate` gets a share of the split on every worker and returns
      (sum, count) pairs; otherwise the first worker validates the whole split.
    """

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Return a fresh module and the parameters to train; torch's generator is seeded."""
        ...

    def source(self, split: str) -> Source:
        """Return a split: `train` is drawn from, `val` is validated on."""
        ...

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the terms of one batch.

        Args:
            module: What `build` returned, on the worker's device.
            batch: What `fetch` returned, as tensors on that device, with `sample_ids` (int64 [B],
                the index of each sample in the source) added.
            step: Optimizer steps already done.
        """
        ...

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return numbers about the module, which is in evaluation mode and without gradients."""
        ...


def weights_at(task: TrainTask, step: int) -> TermWeights:
    """Return the weight of each term at a step; terms that are not named weigh 1."""
    given: TermWeights | Callable[[int], TermWeights] | None = getattr(task, "term_weights", None)
    if given is None:
        return {}
    return given(step) if callable(given) else given


def weights_are_static(task: TrainTask) -> bool:
    """Return whether the weights are the same at every step."""
    return not callable(getattr(task, "term_weights", None))


def flag(task: TrainTask, name: str) -> bool:
    """Return an optional switch of the task, off where it has none."""
    return bool(getattr(task, name, False))


def counts_of(task: TrainTask) -> Callable[[Batch, int], Mapping[str, Count]] | None:
    """Return the task's `counts`, if it offers it."""
    function: Callable[[Batch, int], Mapping[str, Count]] | None = getattr(task, "counts", None)
    return function


def names_of(task: TrainTask, indices: np.ndarray) -> list[str | int]:
    """Return names of samples for a person to read."""
    function = getattr(task, "sample_ids", None)
    if function is None:
        return [int(index) for index in indices]
    return [name if isinstance(name, str) else int(name) for name in function(indices)]


def no_grad_copy(value: Count) -> Count:
    """Return a count that cannot keep a graph alive."""
    return value.detach() if isinstance(value, torch.Tensor) else value
