"""Xid errors as they happen, where the driver tells them without privilege."""

from __future__ import annotations

from typing import Any

from gimbal.gpus.faults import xid_fault
from gimbal.gpus.nvml_card import text

_MOST_AT_ONCE = 64


class XidWatch:
    """Remembers which cards reported a hardware error since the driver was opened.

    An event is told once, its card stays broken until it is reset: the fault is kept for as long
    as this watch lives. GeForce cards often do not support events; then nothing is known.

    Args:
        nvml: NVML's module, initialised.
        handles: Handles of all cards.
    """

    def __init__(self, nvml: Any, handles: list[Any]) -> None:
        self._nvml = nvml
        self._faults: dict[str, str] = {}
        self._events: Any = None
        try:
            events = nvml.nvmlEventSetCreate()
        except (nvml.NVMLError, AttributeError):
            return
        registered = [self._register(events, handle) for handle in handles]
        if any(registered):
            self._events = events
        else:
            self._free(events)

    def faults(self) -> dict[str, str]:
        """Return faults by UUID, with those that happened since the last call."""
        nvml = self._nvml
        for _ in range(_MOST_AT_ONCE if self._events is not None else 0):
            try:
                event = nvml.nvmlEventSetWait_v2(self._events, 0)
                uuid = text(nvml.nvmlDeviceGetUUID(event.device))
            except nvml.NVMLError:
                break
            fault = xid_fault(int(event.eventData))
            if fault:
                self._faults[uuid] = fault
        return self._faults

    def close(self) -> None:
        """Let go of the events."""
        if self._events is not None:
            self._free(self._events)
            self._events = None

    def _register(self, events: Any, handle: Any) -> bool:
        nvml = self._nvml
        try:
            nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
        except (nvml.NVMLError, AttributeError):
            return False
        return True

    def _free(self, events: Any) -> None:
        try:
            self._nvml.nvmlEventSetFree(events)
        except (self._nvml.NVMLError, AttributeError):
            return
