"""NVML and CUDA as a GPU backend."""

from __future__ import annotations

import importlib
from typing import Any

from gimbal.gpus.cuda_memory import CudaMemory
from gimbal.gpus.nvml_probe import NvmlProbe
from gimbal.scheduling.model import GpuUuid


class NvmlBackend:
    """The machine's real cards; see `gimbal.gpus.backend.GpuBackend`.

    Args:
        nvml: Module that speaks NVML's interface; None: `pynvml` of nvidia-ml-py.
        torch: Module that speaks torch's; None: torch.
    """

    def __init__(self, nvml: Any = None, torch: Any = None) -> None:
        self._nvml = nvml
        self._torch = torch

    def probe(self) -> NvmlProbe:
        """Return a probe of this machine's cards; it opens the driver at its first sample."""
        return NvmlProbe(self._nvml)

    def memory(self, uuid: GpuUuid) -> CudaMemory:
        """Return the calling worker's own card.

        Raises:
            ConfigError: This process does not see the card.
        """
        nvml = self._nvml or importlib.import_module("pynvml")
        return CudaMemory(uuid, self._torch or importlib.import_module("torch"), nvml)
