"""One card as NVML shows it: memory, processes, health. Every call may be one it does not have."""

from __future__ import annotations

from typing import Any

from gimbal.gpus.faults import LOST, MIG, memory_fault
from gimbal.gpus.model import GpuSample, ProcessUse
from gimbal.gpus.nvml_driver import words_of
from gimbal.gpus.sanity import is_possible_pid, plausible
from gimbal.scheduling.model import GpuUuid

_LISTS = ("Compute", "Graphics", "MPSCompute")
_VERSIONS = ("_v3", "_v2", "")
"""Of the process lists. A driver may have the newest under another layout (535.43 to 535.86), or
none but the oldest; the first whose ids can be ids is taken."""

_NOT_AVAILABLE = 2**63
"""Bindings that do not translate the driver's "not available" give 2⁶⁴−1."""


class NvmlCard:
    """Reads one card.

    Args:
        nvml: NVML's module, initialised.
        handle: Its handle of the card.
        index: Its number in PCI bus order.
    """

    def __init__(self, nvml: Any, handle: Any, index: int) -> None:
        self._nvml = nvml
        self._handle = handle
        self._index = index
        self._refusals = tuple(
            getattr(nvml, name)
            for name in (
                "NVMLError_NotSupported",
                "NVMLError_FunctionNotFound",
                "NVMLError_NoPermission",
                "NVMLError_InvalidArgument",
                "NVMLError_ArgumentVersionMismatch",
                "NVMLError_NotFound",
                "NVMLError_NoData",
            )
            if hasattr(nvml, name)
        )

    def read(self) -> GpuSample:
        """Return what is on the card; its processes have only ids and memory.

        Raises:
            NVMLError: Of the module: the card cannot be read at all.
        """
        nvml, handle = self._nvml, self._handle
        uuid = text(nvml.nvmlDeviceGetUUID(handle))
        before = self.memory()
        processes = self.processes()
        total, used, reserved = self.memory()
        if used is not None and before[1] is not None:
            # The list was read in between. The lesser count has nothing that came after it, which
            # would look like memory that nobody owns.
            used = min(used, before[1])
        return GpuSample(
            uuid=GpuUuid(uuid),
            index=self._index,
            name=text(self._ask("nvmlDeviceGetName", handle) or ""),
            total_bytes=total,
            used_bytes=used,
            reserved_bytes=reserved,
            processes=None
            if processes is None
            else plausible(processes, total_bytes=total, used_bytes=used),
            fault=self._fault(),
            problem=self._mig(),
        )

    def memory(self) -> tuple[int | None, int | None, int]:
        """Return total, used and reserved bytes; None where the card has no memory of its own."""
        version = getattr(self._nvml, "nvmlMemory_v2", None)
        if version is not None:
            info = self._ask("nvmlDeviceGetMemoryInfo", self._handle, version)
            if info is not None:
                return int(info.total), int(info.used), int(info.reserved)
        info = self._ask("nvmlDeviceGetMemoryInfo", self._handle)
        return (None, None, 0) if info is None else (int(info.total), int(info.used), 0)

    def processes(self) -> list[ProcessUse] | None:
        """Return all that is listed; None where compute processes cannot be listed."""
        found: list[ProcessUse] = []
        for kind in _LISTS:
            listed = self._list(kind)
            if listed is None and kind == "Compute":
                return None
            found += listed or []
        return found

    def _list(self, kind: str) -> list[ProcessUse] | None:
        last: list[ProcessUse] | None = None
        for version in _VERSIONS:
            raw = self._ask(f"nvmlDeviceGet{kind}RunningProcesses{version}", self._handle)
            if raw is not None:
                last = [ProcessUse(pid=int(it.pid), used_bytes=_said(it)) for it in raw]
                if all(is_possible_pid(use.pid) for use in last):
                    break
        return last

    def _fault(self) -> str:
        nvml, handle = self._nvml, self._handle
        rows = self._ask("nvmlDeviceGetRemappedRows", handle) or (0, 0, 0, 0)
        retiring = self._ask("nvmlDeviceGetRetiredPagesPendingStatus", handle)
        errors = self._ask(
            "nvmlDeviceGetTotalEccErrors",
            handle,
            getattr(nvml, "NVML_MEMORY_ERROR_TYPE_UNCORRECTED", 1),
            getattr(nvml, "NVML_VOLATILE_ECC", 0),
        )
        return memory_fault(
            uncorrected=int(errors or 0),
            no_spare_rows=bool(rows[3]),
            pending=bool(rows[2]) or bool(retiring),
        )

    def _mig(self) -> str:
        mode = self._ask("nvmlDeviceGetMigMode", self._handle)
        return MIG if mode and mode[0] == 1 else ""

    def _ask(self, function: str, *args: Any) -> Any:
        """Return an answer; None where library, driver or card have no such question."""
        call = getattr(self._nvml, function, None)
        if call is None:
            return None
        try:
            return call(*args)
        except self._refusals:
            return None


def _said(entry: Any) -> int | None:
    """Return a process's memory; None where the driver does not say it, in one way or another."""
    held = entry.usedGpuMemory
    return None if held is None or held >= _NOT_AVAILABLE else int(held)


def unreadable(error: Exception, uuid: GpuUuid, index: int, name: str) -> GpuSample:
    """Return the sample of a card that cannot be read.

    Args:
        error: What NVML said.
        uuid: The card's UUID if it was ever known.
        index: Its number.
        name: Its name if it was ever known.
    """
    lost = ("NVMLError_GpuIsLost", "NVMLError_ResetRequired")
    return GpuSample(
        uuid=uuid,
        index=index,
        name=name,
        total_bytes=None,
        used_bytes=None,
        processes=None,
        fault=LOST if type(error).__name__ in lost else "",
        problem=words_of(error),
    )


def text(value: str | bytes) -> str:
    """Return a text of NVML, which older bindings give as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
