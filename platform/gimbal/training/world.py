"""Where a worker stands among the others, and the few words they exchange.

Objects are only exchanged where time does not matter (the first step, a resume, a validation);
what a step needs travels inside the gradient's own reduction, see `exact`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True)
class World:
    """One worker's view of the group; a single worker needs no process group."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this worker writes the files."""
        return self.rank == 0

    def gathered(self, value: ValueT) -> list[ValueT]:
        """Return every worker's value, by rank; all workers call it together."""
        if self.size == 1:
            return [value]
        values = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_leader(self, value: ValueT) -> ValueT:
        """Return the first worker's value; all workers call it together."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]


def cards_of(device: torch.device) -> tuple[str, ...]:
    """Return the UUID of a device's card, by CUDA's own word; none for a CPU."""
    if device.type != "cuda":
        return ()
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return () if uuid is None else (f"GPU-{uuid}",)
