"""NVML and CUDA as a GPU backend."""

from __future__ import annotations

from gimbal.gpus.ports import GpuMemory, GpuProbe
from gimbal.scheduling.model import GpuUuid


class NvmlBackend:
    """The machine's real cards."""

    def probe(self) -> GpuProbe:
        """Return a probe of this machine's cards."""
        raise NotImplementedError

    def memory(self, uuid: GpuUuid) -> GpuMemory:
        """Return the calling worker's own card."""
        raise NotImplementedError
