"""The Chamfer distance as one autograd function.

One function rather than gathers and means of torch: matching wants numpy arrays anyway, the clouds
are already in an order that makes the gathers cheap, and the gradient of a gather is a sum by
index, which `bincount` does several times faster than torch's general `index_add`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from gimbal_vision.errors import PointCloudError
from gimbal_vision.nearest import Cloud, Indices, match


def differentiable_chamfer(
    first: torch.Tensor, second: torch.Tensor, squared: bool
) -> torch.Tensor:
    """Return the Chamfer distance of [P, 3] and [Q, 3] tensors, differentiable in both.

    Matching runs on the CPU; the result lies on the device of `first`.
    """
    if first.dtype != second.dtype or first.device != second.device:
        raise PointCloudError(
            f"One cloud is {first.dtype} on {first.device}, the other {second.dtype} on "
            f"{second.device}",
            "Bring both to one type and device.",
        )
    result: torch.Tensor = _Chamfer.apply(first, second, squared)  # type: ignore[no-untyped-call]
    return result


class _Chamfer(torch.autograd.Function):
    """Both means of nearest distances; who is nearest is a constant of the gradient."""

    @staticmethod
    def forward(ctx: Any, first: torch.Tensor, second: torch.Tensor, squared: bool) -> torch.Tensor:
        matched = match(_numpy(first), _numpy(second))
        total = 0.0
        ctx.slopes = []
        for offsets in (matched.first_offsets, matched.second_offsets):
            distance = np.einsum("pi,pi->p", offsets, offsets)
            if squared:
                slope = offsets * offsets.dtype.type(2.0 / len(offsets))
            else:
                distance = np.sqrt(distance)
                inverse = np.where(distance > 0, distance, np.inf) * len(offsets)
                slope = offsets / inverse[:, None]
            total += float(distance.mean(dtype=np.float64))
            ctx.slopes.append(slope)
        ctx.matched = matched
        ctx.like = (first.dtype, first.device)
        return first.new_tensor(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        m, (of_first, of_second) = ctx.matched, ctx.slopes
        dtype, device = ctx.like
        results: list[torch.Tensor | None] = []
        for wanted, own, other, to, order in (
            (ctx.needs_input_grad[0], of_first, of_second, m.nearest_first, m.first_order),
            (ctx.needs_input_grad[1], of_second, of_first, m.nearest_second, m.second_order),
        ):
            if not wanted:
                results.append(None)
                continue
            total = torch.from_numpy(_in_callers_order(own - _summed(other, to, len(own)), order))
            results.append(total.to(device, dtype) * gradient)
        return *results, None


def _numpy(tensor: torch.Tensor) -> Cloud:
    values = tensor.detach().cpu()
    return (values if values.dtype == torch.float64 else values.float()).numpy()


def _summed(rows: Cloud, to: Indices, count: int) -> Cloud:
    """Return [count, 3] sums of the rows that go to each index."""
    columns = [np.bincount(to, rows[:, axis], minlength=count) for axis in range(3)]
    return np.stack(columns, axis=-1).astype(rows.dtype)


def _in_callers_order(rows: Cloud, order: Indices) -> Cloud:
    result = np.empty_like(rows)
    result[order] = rows
    return result
