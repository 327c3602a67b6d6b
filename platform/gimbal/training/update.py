"""From a summed gradient to an optimizer step, with a single wait for the device.

After the reduction every worker holds the same sums and the same gradient, so all of them come to
the same decision (finite or not, how much to clip) without another message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gimbal.errors import StageFailed
from gimbal.training.exact import Summed
from gimbal.training.reduction import Reduction
from gimbal.training.task import TermWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step came to, the same on every worker.

    Attributes:
        loss: Weighted sum of the terms' means.
        terms: Mean of each term; 0 where it counted nothing.
        norms: Gradient norm of each parameter group before clipping.
        leave: Whether a worker was asked to leave.
    """

    loss: float
    terms: Mapping[str, float]
    norms: Mapping[str, float]
    leave: bool = False

    @property
    def finite(self) -> bool:
        """Whether the loss and every gradient is finite."""
        return math.isfinite(self.loss) and all(map(math.isfinite, self.norms.values()))


class Update:
    """Scales, clips and applies gradients.

    Args:
        optimizer: The optimizer.
        reduction: Where the gradients are.
        groups: The parameter groups it was made from, with names.
        clip_norm: Largest norm of each group; None: no clipping.
        global_batch: Samples of a step.
        find_unused: Whether parameters may be left without a gradient.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        reduction: Reduction,
        groups: Sequence[dict[str, Any]],
        *,
        clip_norm: float | None,
        global_batch: int,
        find_unused: bool,
    ) -> None:
        self._optimizer = optimizer
        self._names = [str(group["name"]) for group in groups]
        self._reduction = reduction
        self._clip_norm = clip_norm
        self._global_batch = global_batch
        self._find_unused = find_unused
        self._factors: list[float] = []
        first: nn.Parameter = groups[0]["params"][0]
        self._device = first.device
        # The scale is single precision, which double-precision weights would notice.
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        self._can_scale = bool(fused) and first.dtype != torch.float64

    def look(self, summed: Summed, module: nn.Module, weights: TermWeights) -> Outcome:
        """Read what the step came to; the gradients are not touched yet.

        Raises:
            StageFailed: If a parameter got no gradient and the task does not allow for that.
        """
        if not self._find_unused and self._reduction.missing():
            raise unused_parameters(module)
        numbers = torch.cat([summed.leave, summed.stats, *self._reduction.norms()]).tolist()
        leave, size = numbers.pop(0) > 0, len(summed.terms.names)
        sums = [value * summed.divided_by for value in numbers[:size]]
        counts = [value * summed.divided_by for value in numbers[size : 2 * size]]
        raw = numbers[2 * size :]
        means = {}
        for name, value, count in zip(summed.terms.names, sums, counts, strict=True):
            divisor = count if name in summed.terms.counted else float(self._global_batch)
            means[name] = value / divisor if divisor > 0 else (0.0 if value == 0 else math.nan)
        scale = 1.0
        if summed.guess is not None:
            scale = summed.guess / counts[0] if counts[0] > 0 else 0.0
        exact = [norm * scale for norm in raw]
        self._factors = [scale * self._clip(norm) for norm in exact]
        return Outcome(
            loss=sum(weights.get(name, 1.0) * mean for name, mean in means.items()),
            terms=means,
            norms=dict(zip(self._names, exact, strict=True)),
            leave=leave,
        )

    def _clip(self, norm: float) -> float:
        limit = self._clip_norm
        return 1.0 if limit is None or not norm > limit else limit / norm

    def scale(self) -> None:
        """Make the gradients exact and clip them, as the last `look` found."""
        self._reduction.scale(self._factors)
        self._factors = [1.0] * len(self._factors)

    def apply(self) -> None:
        """Take the optimizer's step, scaling first what has not been scaled.

        A fused optimizer divides by a common scale while it reads the gradients, which saves a
        pass over them; torch's own loss scaler hands it over in the same way.
        """
        factor = self._factors[0]
        common = all(other == factor for other in self._factors)
        if not (common and self._can_scale and factor > 0):
            self.scale()
            factor = 1.0
        if factor == 1.0:
            self._optimizer.step()
            return
        scale = torch.full((), 1.0 / factor, dtype=torch.float32, device=self._device)
        self._optimizer.grad_scale = scale  # type: ignore[attr-defined]
        try:
            self._optimizer.step()
        finally:
            del self._optimizer.grad_scale  # type: ignore[attr-defined]

    def clear(self) -> None:
        """Forget the gradients."""
        self._reduction.clear()


def unused_parameters(module: nn.Module) -> StageFailed:
    """Return the error for parameters that took no part in the loss."""
    names = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return StageFailed(
        f"{len(names)} parameters got no gradient: {shown}",
        "use them in the loss, freeze them with requires_grad_(False) in the task's build(), or, "
        "if only some steps need them, set `find_unused_parameters = True` on the task",
    )
