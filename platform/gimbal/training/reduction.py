"""Where gradients live and how the workers' are added up.

A small module keeps its gradients in one flat piece of memory with the step's statistics at its
end: one message, one norm and one scaling a step, where DistributedDataParallel would have a single
bucket anyway. A larger one goes through DistributedDataParallel, which sends its buckets while the
backward pass is still running; there the statistics are the gradient of one more parameter and
travel in the first bucket.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gimbal.training.world import World

FLAT_BYTES = 1 << 20
"""Largest flat gradient: the size of DistributedDataParallel's first bucket."""

ParameterLists = Sequence[Sequence[nn.Parameter]]


class Reduction(Protocol):
    """Holds the gradients of one module.

    Attributes:
        divides_by: What a reduced gradient has been divided by: the mean of workers is not their
            sum.
    """

    divides_by: int

    def forward(self, *arguments: Any) -> Tensor:
        """Run the loss module."""
        ...

    def local(self) -> contextlib.AbstractContextManager[object]:
        """Accumulate without talking to the other workers."""
        ...

    def reduced(self) -> Tensor:
        """Finish the reduction after the last backward pass; return the carrier's gradient."""
        ...

    def norms(self) -> list[Tensor]:
        """Return the norm of each group's gradient, each [1]."""
        ...

    def scale(self, factors: Sequence[float]) -> None:
        """Multiply each group's gradient."""
        ...

    def missing(self) -> bool:
        """Return whether a parameter got no gradient."""
        ...

    def clear(self) -> None:
        """Forget the gradients."""
        ...


def suits_flat(groups: ParameterLists) -> bool:
    """Return whether a module's gradients fit one flat piece of memory."""
    parameters = [parameter for group in groups for parameter in group]
    return (
        len({(p.dtype, p.device) for p in parameters}) == 1
        and all(p.is_contiguous() for p in parameters)
        and parameters[0].dtype in (torch.float32, torch.float64)
        and sum(p.numel() * p.element_size() for p in parameters) <= FLAT_BYTES
    )


class FlatReduction:
    """All gradients in one piece of memory, the statistics last.

    Args:
        module: The loss module.
        groups: Its trained parameters by group.
        carrier: The parameter whose gradient is the statistics.
        world: This worker's place.
    """

    divides_by = 1

    def __init__(
        self, module: nn.Module, groups: ParameterLists, carrier: nn.Parameter, world: World
    ) -> None:
        self._module = module
        self._world = world
        self._parameters = [*(p for group in groups for p in group), carrier]
        sizes = [p.numel() for p in self._parameters]
        self._flat = torch.zeros(sum(sizes), dtype=carrier.dtype, device=carrier.device)
        pieces = torch.split(self._flat, sizes)
        self._views: list[Tensor] = [
            v.view_as(p) for v, p in zip(pieces, self._parameters, strict=True)
        ]
        lengths = [sum(p.numel() for p in group) for group in groups]
        self._groups = torch.split(self._flat[: sum(lengths)], lengths)
        self._in_place = False
        self._missing = False
        _start_alike(module, world)

    def forward(self, *arguments: Any) -> Tensor:
        """Run the loss module."""
        result: Tensor = self._module(*arguments)
        return result

    def local(self) -> contextlib.AbstractContextManager[object]:
        """Accumulate; nothing is sent before `reduced`."""
        return contextlib.nullcontext()

    def reduced(self) -> Tensor:
        """Add up everything in one message; return the carrier's gradient."""
        if not self._in_place:
            self._move_in()
        if self._world.size > 1:
            dist.all_reduce(self._flat)
        return self._views[-1]

    def _move_in(self) -> None:
        """Take over the gradients of the first step, which shows whether any is missing."""
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is None:
                self._missing = True
                continue
            view.copy_(parameter.grad)
            parameter.grad = view
        self._in_place = True

    def norms(self) -> list[Tensor]:
        """Return the norm of each group's gradient, each [1]."""
        return [torch.linalg.vector_norm(group, keepdim=True) for group in self._groups]

    def scale(self, factors: Sequence[float]) -> None:
        """Multiply each group's gradient."""
        for group, factor in zip(self._groups, factors, strict=True):
            if factor != 1.0:
                group.mul_(factor)

    def missing(self) -> bool:
        """Return whether a parameter got no gradient in the first step."""
        return self._missing

    def clear(self) -> None:
        """Set all gradients to zero, where they are."""
        self._flat.zero_()


class SeparateReduction:
    """A gradient for each parameter; several workers meet in DistributedDataParallel.

    Buffers are left alone, for what they hold must not depend on a worker's share.

    Args:
        module: The loss module.
        groups: Its trained parameters by group.
        carrier: The parameter whose gradient is the statistics.
        world: This worker's place.
        find_unused: Look for parameters without a gradient at every step.
    """

    def __init__(
        self,
        module: nn.Module,
        groups: ParameterLists,
        carrier: nn.Parameter,
        world: World,
        *,
        find_unused: bool,
    ) -> None:
        self.divides_by = world.size
        self._groups = groups
        self._carrier = carrier
        self._module = module
        self._parallel: DistributedDataParallel | None = None
        if world.size > 1:
            self._module = self._parallel = DistributedDataParallel(
                module,
                forward_sync_buffers=False,
                find_unused_parameters=find_unused,
                gradient_as_bucket_view=True,
            )

    def forward(self, *arguments: Any) -> Tensor:
        """Run the loss module."""
        result: Tensor = self._module(*arguments)
        return result

    def local(self) -> contextlib.AbstractContextManager[object]:
        """Accumulate without talking to the other workers."""
        return self._parallel.no_sync() if self._parallel else contextlib.nullcontext()

    def reduced(self) -> Tensor:
        """Return the carrier's gradient; the reduction ended with the backward pass."""
        gradient = self._carrier.grad
        return torch.zeros_like(self._carrier) if gradient is None else gradient

    def norms(self) -> list[Tensor]:
        """Return the norm of each group's gradient, each [1]."""
        return [_norm(gradients, self._carrier) for gradients in self._gradients()]

    def _gradients(self) -> list[list[Tensor]]:
        return [[p.grad for p in group if p.grad is not None] for group in self._groups]

    def scale(self, factors: Sequence[float]) -> None:
        """Multiply each group's gradient."""
        for gradients, factor in zip(self._gradients(), factors, strict=True):
            if factor != 1.0 and gradients:
                torch._foreach_mul_(gradients, factor)

    def missing(self) -> bool:
        """Return whether a parameter got no gradient."""
        return any(p.grad is None for group in self._groups for p in group)

    def clear(self) -> None:
        """Forget the gradients, without the bookkeeping of `Optimizer.zero_grad`."""
        self._carrier.grad = None
        for group in self._groups:
            for parameter in group:
                parameter.grad = None


def _norm(gradients: list[Tensor], like: Tensor) -> Tensor:
    """Return the norm of all entries together, [1]."""
    if not gradients:
        return like.new_zeros(1)
    each = torch.stack(torch._foreach_norm(gradients))
    total: Tensor = torch.linalg.vector_norm(each, keepdim=True)
    return total.to(like.dtype)


def _start_alike(module: nn.Module, world: World) -> None:
    """Give every worker the first one's weights, as DistributedDataParallel does."""
    if world.size > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), src=0)
