"""The loss terms a run has, agreed by all workers at its first step.

A worker whose share is empty never sees a term, and sums can only be added up by place, so names
and kinds are settled once. Later a term may count nothing (count 0), but it may not come or go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from gimbal.errors import StageFailed
from gimbal.training.task import LossTerms
from gimbal.training.world import World


@dataclass(frozen=True)
class Terms:
    """Names of the terms and which of them count something other than samples.

    Attributes:
        names: In the order the loss first returned them.
        counted: Those whose count is not `None`.
    """

    names: tuple[str, ...]
    counted: frozenset[str]
    _masks: dict[torch.device, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def needs_counts_first(self) -> bool:
        """Whether the global counts must be known before the backward pass."""
        return bool(self.counted) and len(self.names) > 1

    def per_sample(self, device: torch.device) -> Tensor:
        """Return which terms count one per sample, bool [T]."""
        if device not in self._masks:
            flags = [name not in self.counted for name in self.names]
            self._masks[device] = torch.tensor(flags, device=device)
        return self._masks[device]

    def read(
        self, terms: LossTerms, dtype: torch.dtype, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the sums with their graph and the counts without, both [T].

        Raises:
            StageFailed: If the terms are not those agreed on, or a sum is not a scalar.
        """
        if terms.keys() != set(self.names):
            raise StageFailed(
                f"the loss returned the terms {sorted(terms)}, at first {sorted(self.names)}",
                "return every term at every step; one with nothing to count is (0 sum, 0 count)",
            )
        sums = [terms[name][0] for name in self.names]
        for name, value in zip(self.names, sums, strict=True):
            if value.ndim:
                raise StageFailed(
                    f"the sum of loss term {name!r} has shape {list(value.shape)}",
                    "return one number: the sum over samples, not a tensor of losses",
                )
        joined = torch.stack(sums).to(dtype) if len(sums) > 1 else sums[0].reshape(1).to(dtype)
        return joined, self.counts({k: v[1] for k, v in terms.items()}, dtype, device)

    def counts(
        self, found: Mapping[str, object], dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return the counts [T], 0 where one per sample is meant.

        Raises:
            StageFailed: If a term counts now and did not at first, or the other way round.
        """
        if not self.counted:
            return _zeros(len(self.names), dtype, device)
        values = []
        for name in self.names:
            count = found.get(name)
            if (count is None) == (name in self.counted):
                raise StageFailed(
                    f"the count of loss term {name!r} was {'a number' if count is None else 'None'}"
                    " at first and is not any more",
                    "return None always, or a number always; counts() must name the same terms",
                )
            values.append(0.0 if count is None else count)
        if all(isinstance(value, Tensor) for value in values):
            return torch.stack([v.detach().reshape(()).to(dtype) for v in values])  # type: ignore[attr-defined]
        numbers = torch.zeros(len(values), dtype=dtype, device=device)
        for place, value in enumerate(values):
            numbers[place] = value.detach() if isinstance(value, Tensor) else float(value)  # type: ignore[arg-type]
        return numbers

    def refuse_strangers(self, weights: Mapping[str, float]) -> None:
        """Raise where a weight is given for a term the loss does not have."""
        strangers = sorted(set(weights) - set(self.names))
        if strangers:
            raise StageFailed(
                f"term_weights names {', '.join(strangers)}, but the loss has "
                f"{', '.join(self.names)}",
                "name the terms as the loss does",
            )


@lru_cache(maxsize=16)
def _zeros(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.zeros(length, dtype=dtype, device=device)


def agree(terms: LossTerms | None, world: World, *, limit: int) -> Terms:
    """Settle the terms; all workers call it together, those with nothing to do with None.

    Raises:
        StageFailed: If workers differ, or there are more than `limit` terms or none.
    """
    mine = (
        None if terms is None else [(name, count is not None) for name, (_, count) in terms.items()]
    )
    everyone = [found for found in world.gathered(mine) if found is not None]
    first = everyone[0] if everyone else []
    if any(sorted(found) != sorted(first) for found in everyone):
        raise StageFailed(
            "workers found different loss terms: "
            + "; ".join(sorted({", ".join(name for name, _ in sorted(f)) for f in everyone})),
            "return every term for every batch; one with nothing to count is (0 sum, 0 count)",
        )
    if not 0 < len(first) <= limit:
        raise StageFailed(f"the loss has {len(first)} terms", f"return between 1 and {limit}")
    return Terms(
        names=tuple(name for name, _ in first),
        counted=frozenset(name for name, counts in first if counts),
    )
