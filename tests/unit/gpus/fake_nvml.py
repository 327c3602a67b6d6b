# ruff: noqa: N802
"""A scripted module that speaks pynvml's names and raises its real error classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

from gimbal.gpus.words import GIB, MIB

Listed = list[tuple[int, int | None]]


@dataclass
class Card:
    """What the scripted driver knows of a card; an error in place of a value is raised."""

    uuid: str | bytes = "GPU-a"
    total: int = 24 * GIB
    used: Any = 0
    reserved: int = 316 * MIB
    memory: Exception | None = None
    handle: Exception | None = None
    compute: Any = field(default_factory=list)
    graphics: Any = field(default_factory=list)
    mps: Any = field(default_factory=list)
    old_compute: Any = None
    mig: Any = (0, 0)
    ecc: Any = 0
    remapped: Any = (0, 0, 0, 0)
    retiring: Any = 0


def error(name: str) -> Exception:
    """Return one of pynvml's errors, as its functions raise it."""
    made: Exception = getattr(pynvml, f"NVMLError_{name}")()
    return made


def _or_raise(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value() if callable(value) else value


class FakeNvml:
    """Stands in for the module. Constants and error classes are pynvml's own.

    Args:
        cards: The cards.
        init: Raised by nvmlInit; may be changed later.
        missing: Functions that the driver does not have.
    """

    def __init__(
        self,
        *cards: Card,
        init: Exception | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        self.cards = list(cards)
        self.init = init
        self.missing = missing
        self.count: Any = lambda: len(self.cards)
        self.opened = 0
        self.is_open = False
        self.xids: list[tuple[int, int]] = []
        self.events: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("nvml") and callable(getattr(pynvml, name)):
            raise AttributeError(name)
        return getattr(pynvml, name)

    def _require(self, name: str) -> None:
        if not self.is_open:
            raise error("Uninitialized")
        if name in self.missing:
            raise error("FunctionNotFound")

    def nvmlInit(self) -> None:
        self.opened += 1
        _or_raise(self.init)
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:
        self._require("count")
        return int(_or_raise(self.count))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        self._require("handle")
        _or_raise(self.cards[index].handle)
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:
        self._require("handle")
        return next(card for card in self.cards if card.uuid == uuid)

    def nvmlDeviceGetUUID(self, card: Card) -> str | bytes:
        self._require("uuid")
        return card.uuid

    def nvmlDeviceGetName(self, card: Card) -> str:
        self._require("name")
        return "NVIDIA GeForce RTX 3090"

    def nvmlDeviceGetMemoryInfo(self, card: Card, version: int | None = None) -> Any:
        self._require("memory_v2" if version else "memory")
        _or_raise(card.memory)
        used = _or_raise(card.used)
        if version:
            assert version == pynvml.nvmlMemory_v2
            return SimpleNamespace(total=card.total, used=used, reserved=card.reserved)
        return SimpleNamespace(total=card.total, used=used + card.reserved)

    def _list(self, name: str, listed: Any) -> list[Any]:
        self._require(name)
        return [SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in _or_raise(listed)]

    def nvmlDeviceGetComputeRunningProcesses_v3(self, card: Card) -> list[Any]:
        return self._list("compute_v3", card.compute)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, card: Card) -> list[Any]:
        listed = card.compute if card.old_compute is None else card.old_compute
        return self._list("compute_v2", listed)

    def nvmlDeviceGetGraphicsRunningProcesses_v3(self, card: Card) -> list[Any]:
        return self._list("graphics_v3", card.graphics)

    def nvmlDeviceGetMPSComputeRunningProcesses_v3(self, card: Card) -> list[Any]:
        return self._list("mps_v3", card.mps)

    def nvmlDeviceGetMigMode(self, card: Card) -> Any:
        self._require("mig")
        return _or_raise(card.mig)

    def nvmlDeviceGetTotalEccErrors(self, card: Card, kind: int, counter: int) -> Any:
        self._require("ecc")
        assert (kind, counter) == (
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
        )
        return _or_raise(card.ecc)

    def nvmlDeviceGetRemappedRows(self, card: Card) -> Any:
        self._require("remapped")
        return _or_raise(card.remapped)

    def nvmlDeviceGetRetiredPagesPendingStatus(self, card: Card) -> Any:
        self._require("retiring")
        return _or_raise(card.retiring)

    def nvmlEventSetCreate(self) -> str:
        self._require("events")
        return "events"

    def nvmlDeviceRegisterEvents(self, card: Card, kinds: int, events: str) -> None:
        assert (kinds, events) == (pynvml.nvmlEventTypeXidCriticalError, "events")
        _or_raise(self.events)

    def nvmlEventSetWait_v2(self, events: str, timeout_ms: int) -> Any:
        if not self.xids:
            raise error("Timeout")
        index, xid = self.xids.pop(0)
        return SimpleNamespace(device=self.cards[index], eventData=xid)

    def nvmlEventSetFree(self, events: str) -> None:
        assert events == "events"


class FakeCuda:
    """Stands in for `torch` where a card is used: `torch.cuda`, `torch.empty`, `torch.uint8`."""

    uint8 = "uint8"

    def __init__(self, uuids: list[str], nvml: FakeNvml, listed: bool = True) -> None:
        self.cuda = self
        self._uuids = uuids
        self._nvml = nvml
        self._listed = listed
        self.context = 400 * MIB
        self.reserved = 0
        self.peak = 0
        self.has_context = False
        self.fraction: tuple[float, int] | None = None
        self.on_empty: Callable[[], None] = lambda: None

    def device_count(self) -> int:
        return len(self._uuids)

    def get_device_properties(self, number: int) -> Any:
        return SimpleNamespace(
            uuid=self._uuids[number].removeprefix("GPU-"), total_memory=self._card(number).total
        )

    def mem_get_info(self, number: int) -> tuple[int, int]:
        card = self._card(number)
        return card.total - card.used - card.reserved, card.total - card.reserved

    def memory_reserved(self, number: int) -> int:
        return self.reserved

    def max_memory_reserved(self, number: int) -> int:
        return self.peak

    def set_per_process_memory_fraction(self, fraction: float, number: int) -> None:
        self.fraction = fraction, number

    def empty(self, count: int, dtype: str, device: str) -> str:
        assert dtype == self.uint8
        self.on_empty()
        card = self._card(int(device.removeprefix("cuda:")))
        grown = max(2 * MIB, count) if count > 1 or not self.reserved else 0
        grown += 0 if self.has_context else self.context
        if grown > card.total - card.used - card.reserved:
            raise RuntimeError("CUDA out of memory.")
        self.reserved += grown - (0 if self.has_context else self.context)
        self.has_context = True
        self.peak = max(self.peak, self.reserved)
        card.used += grown
        if self._listed:
            card.compute = [(os.getpid(), self.reserved + self.context)]
        return "tensor"

    def _card(self, number: int) -> Card:
        return next(card for card in self._nvml.cards if card.uuid == self._uuids[number])
