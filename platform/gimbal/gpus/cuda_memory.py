"""A worker's own card through torch: memory reserved, capped and measured.

The budget a job states covers everything its process takes of the card. So the CUDA context, which
torch's allocator does not count, is measured once and comes off what is reserved and capped.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

from gimbal.errors import ConfigError
from gimbal.gpus.nvml_card import NvmlCard
from gimbal.gpus.words import GIB
from gimbal.scheduling.model import GpuUuid

_MOST_CONTEXT_BYTES = 2 * GIB
"""A larger difference was a neighbour who came at the same moment."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """A card by NVML's count, in bytes; `own`: of this process, None if not listed."""

    free: int
    total: int
    own: int | None


class CudaMemory:
    """See `gimbal.gpus.ports.GpuMemory`.

    Args:
        uuid: The card.
        torch: The module.
        nvml: NVML's module.

    Raises:
        ConfigError: This process does not see the card.
    """

    def __init__(self, uuid: GpuUuid, torch: Any, nvml: Any) -> None:
        self.uuid = uuid
        self._torch = torch
        self._nvml = nvml
        self._device = device_of(uuid, torch)
        self._context_bytes: int | None = None

    def room(self) -> tuple[int, int]:
        """Return free and total bytes of the card; without a context where NVML can be asked."""
        counted = self._by_nvml()
        if counted is not None:
            return counted.free, counted.total
        free, total = self._torch.cuda.mem_get_info(self._device)
        return int(free), int(total)

    def reserve(self, size_bytes: int) -> None:
        """Take this much memory in all.

        What is missing is allocated in one piece and freed, which leaves it with torch's allocator.

        Raises:
            RuntimeError: The card has not that much.
        """
        context = self._context()
        missing = size_bytes - context - int(self._torch.cuda.memory_reserved(self._device))
        if missing > 0:
            torch = self._torch
            block = torch.empty(missing, dtype=torch.uint8, device=f"cuda:{self._device}")
            del block

    def cap(self, size_bytes: int) -> None:
        """Let torch's allocator take no more; libraries beside it are not bound by that."""
        total = int(self._torch.cuda.get_device_properties(self._device).total_memory)
        share = (size_bytes - self._context()) / total
        self._torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, share)), self._device)

    def touch(self) -> None:
        """A real step does that by itself."""

    def peak_bytes(self) -> int:
        """Return the most memory this process has held; 0 before it used the card."""
        reserved = int(self._torch.cuda.max_memory_reserved(self._device))
        unused = reserved == 0 and self._context_bytes is None
        return 0 if unused else reserved + self._context()

    def _context(self) -> int:
        """Return what the CUDA context takes, and make it if there is none."""
        if self._context_bytes is None:
            torch = self._torch
            before = self._by_nvml()
            torch.empty(1, dtype=torch.uint8, device=f"cuda:{self._device}")
            after = self._by_nvml()
            cached = int(torch.cuda.memory_reserved(self._device))
            if after is not None and after.own is not None:
                context = after.own - cached
            elif after is not None and before is not None:
                # In a container the driver does not list us: what is gone now is the context.
                context = before.free - after.free - cached
            else:
                context = 0
            self._context_bytes = min(max(0, context), _MOST_CONTEXT_BYTES)
        return self._context_bytes

    def _by_nvml(self) -> _Counted | None:
        """Return what NVML counts; None where it does not say."""
        nvml = self._nvml
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlInit()
            try:
                card = NvmlCard(nvml, nvml.nvmlDeviceGetHandleByUUID(self.uuid), 0)
                total, used, reserved = card.memory()
                own = [use.used_bytes for use in card.processes() or () if use.pid == os.getpid()]
            finally:
                nvml.nvmlShutdown()
            if total is not None and used is not None:
                free = max(0, total - used - reserved)
                return _Counted(
                    free=free, total=total - reserved, own=max(own, key=_known, default=None)
                )
        return None


def _known(size_bytes: int | None) -> int:
    return size_bytes or 0


def device_of(uuid: GpuUuid, torch: Any) -> int:
    """Return the number torch has for a card.

    CUDA numbers the cards a process sees in an order of its own; only UUIDs name them.

    Raises:
        ConfigError: It does not see the card.
    """
    seen = [
        str(torch.cuda.get_device_properties(number).uuid)
        for number in range(int(torch.cuda.device_count()))
    ]
    wanted = _bare(uuid)
    for number, other in enumerate(seen):
        if _bare(other) == wanted:
            return number
    raise ConfigError(
        f"this process does not see the GPU {uuid}; torch sees {', '.join(seen) or 'none'}",
        "check CUDA_VISIBLE_DEVICES and that torch is a build for CUDA",
    )


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-").lower()
