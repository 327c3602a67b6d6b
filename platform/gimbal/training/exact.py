"""One gradient, however the global batch is split over workers and forward passes.

The loss is the sum over terms of weight x (sum of everyone's sums) / (sum of everyone's counts).
Each worker back-propagates its own sums divided by the *global* counts and the results are added
up. Three ways to know those counts in time, cheapest first:

1. a count of `None` is the global batch size: nothing to ask;
2. a single counted term: back-propagate with a guess and scale the summed gradient afterwards;
3. several counted terms: add the counts up before the backward pass; with accumulation they come
   from the task's `counts`, or else from a pass over all pieces without gradients.

Every step also needs the global sums (the loss to report, and whether it is finite). They travel as
the gradient of a parameter, the carrier, that multiplies them by zero: so they are reduced in the
same message as gradients, and a step has no collective of its own. The last place of the carrier is
for a word from one worker to all of them, that the run is asked to leave.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gimbal.training.counting import without_trace
from gimbal.training.reduction import (
    FlatReduction,
    ParameterLists,
    Reduction,
    SeparateReduction,
    suits_flat,
)
from gimbal.training.task import Batch, Count, LossTerms, TrainTask, counts_of, flag, weights_at
from gimbal.training.terms import Terms, agree
from gimbal.training.world import World

CARRIED = 64
"""Numbers the carrier holds: a sum and a count for each term, zeros, and the word to leave."""
MAX_TERMS = (CARRIED - 1) // 2
"""Loss terms there is room for."""


@dataclass(frozen=True, kw_only=True)
class Summed:
    """What one global batch came to, still on the device.

    Attributes:
        terms: The agreed terms.
        stats: [2 T] sums over all workers, then counts, both divided by `divided_by`.
        divided_by: What the reduction divides by.
        guess: What the gradient was divided by instead of the single term's count; None where it
            is already exact.
        leave: [1] above 0 where a worker was asked to leave.
    """

    terms: Terms
    stats: Tensor
    divided_by: int
    guess: float | None
    leave: Tensor


class _LossModule(nn.Module):
    """The task's loss as a module: one forward, whatever the task calls inside it."""

    def __init__(
        self,
        module: nn.Module,
        task: TrainTask,
        weigh: Callable[[LossTerms | None, Tensor, int], Tensor],
        *,
        dtype: torch.dtype,
        autocast: Callable[[], contextlib.AbstractContextManager[object]],
    ) -> None:
        super().__init__()
        self.module = module
        self.carrier = nn.Parameter(torch.zeros(CARRIED, dtype=dtype))
        self._task = task
        self._weigh = weigh
        self._autocast = autocast

    def forward(self, batch: Batch | None, step: int) -> Tensor:
        """Return the scalar to back-propagate for one piece of this worker's share."""
        if batch is None:
            return self._weigh(None, self.carrier, step) + self._touch_all()
        with self._autocast():
            terms = self._task.loss(self.module, batch, step)
        return self._weigh(terms, self.carrier, step)

    def _touch_all(self) -> Tensor:
        """Return a zero whose gradient is a zero for every parameter."""
        total = self.carrier.sum() * 0.0
        if not flag(self._task, "find_unused_parameters"):
            for parameter in self.module.parameters():
                if parameter.requires_grad:
                    total = total + (parameter * 0.0).sum().to(total.dtype)
        return total


class ExactGradient:
    """Computes the gradient of a global batch into the module's parameters.

    Args:
        task: The task; `module` is what it built, on the worker's device.
        module: The module to train.
        world: This worker's place.
        groups: The module's trained parameters by group.
        global_batch: Samples of a step over all workers.
        accumulates: Whether any worker needs more than one forward pass a step.
        bf16: Run the forward pass in bfloat16 where torch deems it safe.
    """

    def __init__(
        self,
        task: TrainTask,
        module: nn.Module,
        world: World,
        *,
        groups: ParameterLists,
        global_batch: int,
        accumulates: bool = False,
        bf16: bool = False,
    ) -> None:
        self.task = task
        self.module = module
        self.world = world
        self.global_batch = global_batch
        self.accumulates = accumulates
        self.bf16 = bf16
        self.terms: Terms | None = None
        double = any(p.dtype == torch.float64 for p in module.parameters())
        self._dtype = torch.float64 if double else torch.float32
        self._room = torch.zeros(CARRIED, dtype=self._dtype, device=world.device)
        self._counts: Tensor | None = None
        self._weights: dict[tuple[float, ...], Tensor] = {}
        summed = _LossModule(
            module, task, self._weigh, dtype=self._dtype, autocast=self._autocast
        ).to(world.device)
        unused = flag(task, "find_unused_parameters")
        self.reduction: Reduction = (
            FlatReduction(summed, groups, summed.carrier, world)
            if suits_flat(groups) and not unused
            else SeparateReduction(summed, groups, summed.carrier, world, find_unused=unused)
        )

    def ask_to_leave(self) -> None:
        """Tell every worker, with the next gradient, that the run is asked to leave."""
        self._room[-1] = 1.0

    def run(self, pieces: Sequence[Batch | None], step: int) -> Summed:
        """Leave the summed gradient of one step in the parameters' `grad`.

        Args:
            pieces: This worker's share, in forward passes; a lone None for an empty share.
            step: Optimizer steps already done.
        """
        self._counts = None
        if self.accumulates:
            self._count_ahead(pieces, step)
        for piece in pieces[:-1]:
            with self.reduction.local():
                torch.autograd.backward(self.reduction.forward(piece, step))
        torch.autograd.backward(self.reduction.forward(pieces[-1], step))
        carried, agreed = self.reduction.reduced(), self.terms
        assert agreed is not None
        late = bool(agreed.counted) and not agreed.needs_counts_first
        return Summed(
            terms=agreed,
            stats=carried[: 2 * len(agreed.names)],
            divided_by=self.reduction.divides_by,
            guess=float(self.global_batch) if late else None,
            leave=carried[-1:],
        )

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16)

    def _weigh(self, terms: LossTerms | None, carrier: Tensor, step: int) -> Tensor:
        """Return the scalar whose gradient, added over workers, is that of the loss.

        Collectives happen here, inside the module's forward and nowhere before it:
        DistributedDataParallel has one of its own at the start of its second forward, and all
        workers must keep one order.
        """
        agreed = self.terms or self._agree(terms)
        asks = agreed.needs_counts_first and not self.accumulates
        if terms is None:
            if asks:
                self._set_counts(torch.zeros(len(agreed.names), dtype=self._dtype))
            return torch.dot(carrier, self._room)
        sums, counts = agreed.read(terms, self._dtype, self.world.device)
        if asks:
            self._set_counts(counts)
        stats = torch.cat([sums.detach(), counts, self._room[2 * len(agreed.names) :]])
        return torch.dot(sums, self._scales(agreed, step)) + torch.dot(carrier, stats)

    def _agree(self, terms: LossTerms | None) -> Terms:
        self.terms = agree(terms, self.world, limit=MAX_TERMS)
        return self.terms

    def _set_counts(self, counts: Tensor) -> None:
        """Add up every worker's counts of this step."""
        total = counts.to(self.world.device, copy=True)
        if self.world.size > 1:
            dist.all_reduce(total)
        self._counts = total

    def _scales(self, agreed: Terms, step: int) -> Tensor:
        """Return weight / global count of each term, [T]; a term that counted nothing gets 0.

        Where the reduction takes a mean, what it divides by is a factor of it.
        """
        given = weights_at(self.task, step)
        row = tuple(float(given.get(name, 1.0)) for name in agreed.names)
        mean = self._weights.get(row)
        if mean is None:
            agreed.refuse_strangers(given)
            mean = torch.tensor(row, dtype=self._dtype, device=self.world.device)
            mean *= self.reduction.divides_by / self.global_batch
            self._weights = {row: mean}
        if self._counts is None:
            return mean
        known = agreed.per_sample(self.world.device)
        shares = torch.where(known, 1.0, self.global_batch / self._counts.clamp_min(1e-30))
        return torch.where(known | (self._counts > 0), mean * shares, 0.0)

    def _count_ahead(self, pieces: Sequence[Batch | None], step: int) -> None:
        """Learn the global counts of an accumulated step, where its terms need them."""
        first: LossTerms | None = None
        if self.terms is None:
            first = self._look(pieces[0], step) if pieces[0] is not None else None
            self._agree(first)
        agreed = self.terms
        if agreed is None or not agreed.needs_counts_first:
            return
        offered = counts_of(self.task)
        total = torch.zeros(len(agreed.names), dtype=self._dtype, device=self.world.device)
        for piece in pieces:
            if piece is None:
                continue
            found: dict[str, Count] = (
                dict(offered(piece, step))
                if offered is not None
                else {name: count for name, (_, count) in self._look(piece, step).items()}
            )
            total += agreed.counts(found, self._dtype, self.world.device)
        self._set_counts(total)

    def _look(self, piece: Batch, step: int) -> LossTerms:
        with without_trace(self.module, self.world.device), self._autocast():
            return self.task.loss(self.module, piece, step)
