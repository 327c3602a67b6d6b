"""What Gimbal needs of GPUs: NVML in production, `gimbal.testing.FakeGpus` elsewhere."""

from __future__ import annotations

from typing import Protocol

from gimbal.gpus.model import NodeSample
from gimbal.scheduling.model import GpuUuid


class GpuProbe(Protocol):
    """Looks at the GPUs of this machine."""

    def sample(self) -> NodeSample:
        """Return what is on every card now; never raises, problems are in the sample."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...


class GpuMemory(Protocol):
    """A worker's own card: what the guard reserves and measures on it."""

    uuid: GpuUuid

    def room(self) -> tuple[int, int]:
        """Return free and total bytes of the card, as the driver counts them now."""
        ...

    def reserve(self, size_bytes: int) -> None:
        """Take this much memory now and keep it for this process.

        Raises:
            RuntimeError: The card has not that much, in the words of torch
                (`torch.OutOfMemoryError` is one).
        """
        ...

    def cap(self, size_bytes: int) -> None:
        """Refuse this process more than that from now on, as far as the library can."""
        ...

    def touch(self) -> None:
        """Do what every step does outside the budget (workspaces of libraries).

        Raises:
            RuntimeError: A neighbour left no room for it, in the words of CUDA.
        """
        ...

    def peak_bytes(self) -> int:
        """Return the most memory this process has held on the card."""
        ...
