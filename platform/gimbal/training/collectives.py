"""Numbers over the whole global batch, with gradients.

A statistic that is not a sum (a variance, a normaliser) cannot be put together from the workers'
own values; it has to be computed from global sums before the loss goes on. A task that uses these
sets `uses_global_statistics`, so that every worker takes part once a step.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


def worker_count() -> int:
    """Return the number of workers of this run; 1 outside of a distributed one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _GlobalSum(Function):
    """All-reduce; so is its backward, for each worker's input feeds every worker's output."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def global_sum(values: Tensor) -> Tensor:
    """Return the element-wise sum of every worker's tensor (same shape everywhere).

    Every worker must call it equally often and in the same order, the backward pass included.
    """
    if worker_count() == 1:
        return values
    result: Tensor = _GlobalSum.apply(values)  # type: ignore[no-untyped-call]
    return result


def global_mean_var(values: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean and the (biased) variance over the samples of all workers.

    Args:
        values: [B, ...]; B may differ between workers and be 0.
        weights: [B], how much each sample counts; None: 1 each.

    Returns:
        Mean and variance, both [...]. The variance is taken in a second pass around the global
        mean, so it keeps its digits when the mean is large.
    """
    if weights is None:
        weights = torch.ones(len(values), dtype=values.dtype, device=values.device)
    shaped = weights.reshape(-1, *[1] * (values.ndim - 1)).to(values.dtype)
    sums = torch.cat([(values * shaped).sum(0).reshape(-1), shaped.sum().reshape(1)])
    total = global_sum(sums)
    count = total[-1].clamp_min(torch.finfo(values.dtype).tiny)
    mean = (total[:-1] / count).reshape(values.shape[1:])
    squares = global_sum(((values - mean).square() * shaped).sum(0))
    return mean, squares / count
