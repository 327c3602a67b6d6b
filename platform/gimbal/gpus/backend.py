"""Which GPUs this process sees: NVML's, unless the environment names another backend.

The name travels in the environment so that Ray's workers and agents, which nobody passes arguments
to, see the same cards as the service that started them.
"""

from __future__ import annotations

import importlib
import os
from typing import Protocol

from gimbal.errors import ConfigError
from gimbal.gpus.ports import GpuMemory, GpuProbe
from gimbal.scheduling.model import GpuUuid

BACKEND_VARIABLE = "GIMBAL_GPU_BACKEND"
"""`module:function` that returns a `GpuBackend`; unset: NVML and CUDA."""


class GpuBackend(Protocol):
    """A world of GPUs."""

    def probe(self) -> GpuProbe:
        """Return a probe of this machine's cards."""
        ...

    def memory(self, uuid: GpuUuid) -> GpuMemory:
        """Return the calling worker's own card, for the guard to reserve and measure."""
        ...


def open_backend() -> GpuBackend:
    """Return the backend this process should use.

    Raises:
        ConfigError: The environment names one that cannot be had.
    """
    name = os.environ.get(BACKEND_VARIABLE)
    if not name:
        from gimbal.gpus.nvml import NvmlBackend

        return NvmlBackend()
    module, _, function = name.partition(":")
    try:
        backend: GpuBackend = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{BACKEND_VARIABLE}={name} names no GPU backend: {error}",
            "unset it, or write module:function",
        ) from error
    return backend
