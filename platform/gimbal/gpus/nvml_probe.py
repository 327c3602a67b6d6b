"""Samples this machine's cards through NVML; what goes wrong is in the sample, never raised."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.nvml_card import NvmlCard, unreadable
from gimbal.gpus.nvml_driver import DriverProblem, NvmlDriver, words_of
from gimbal.gpus.nvml_xid import XidWatch
from gimbal.gpus.processes import ProcessFacts, facts, outer_pids
from gimbal.scheduling.model import GpuUuid


class NvmlProbe:
    """See `gimbal.gpus.ports.GpuProbe`. Not for several threads at once.

    Args:
        nvml: Module that speaks NVML's interface; None: `pynvml`.
        driver: The driver; None: one of that module.
        now: Returns Unix seconds.
        describe: Returns what is known of a process.
        namespaces: Returns the ids that processes have in containers, with those they have here.
    """

    def __init__(
        self,
        nvml: Any = None,
        *,
        driver: NvmlDriver | None = None,
        now: Callable[[], float] = time.time,
        describe: Callable[[int], ProcessFacts] = facts,
        namespaces: Callable[[], dict[int, int]] = outer_pids,
    ) -> None:
        self._driver = driver or NvmlDriver(nvml)
        self._now = now
        self._describe = describe
        self._namespaces = namespaces
        self._known: dict[int, tuple[GpuUuid, str]] = {}
        self._xids: XidWatch | None = None

    def sample(self) -> NodeSample:
        """Return what is on every card now."""
        at = self._now()
        try:
            nvml = self._driver.open()
        except DriverProblem as problem:
            return NodeSample(at=at, problem=str(problem))
        if nvml is None:
            return NodeSample(at=at)
        try:
            gpus = self._look(nvml)
        except nvml.NVMLError as error:
            return NodeSample(at=at, problem=self._give_up(words_of(error)))
        except Exception as error:
            # The border to a C library through ctypes: a layout that changed raises anything.
            return NodeSample(
                at=at, problem=self._give_up(f"NVML's answer makes no sense: {error}")
            )
        if gpus and all(gpu.problem and gpu.total_bytes is None for gpu in gpus):
            self._give_up(gpus[0].problem)
        else:
            self._driver.works()
        return NodeSample(at=at, gpus=gpus)

    def close(self) -> None:
        """Let go of the driver."""
        if self._xids is not None:
            self._xids.close()
            self._xids = None
        self._driver.close()

    def _give_up(self, why: str) -> str:
        self.close()
        self._driver.give_up(why)
        return why

    def _look(self, nvml: Any) -> tuple[GpuSample, ...]:
        cards = [self._card(nvml, index) for index in range(int(nvml.nvmlDeviceGetCount()))]
        faults = self._xid_faults(nvml, len(cards))
        described = self._described([card.processes or () for card in cards])
        return tuple(
            replace(
                card,
                fault=card.fault or faults.get(card.uuid, ""),
                processes=None if card.processes is None else processes,
            )
            for card, processes in zip(cards, described, strict=True)
        )

    def _card(self, nvml: Any, index: int) -> GpuSample:
        try:
            card = NvmlCard(nvml, nvml.nvmlDeviceGetHandleByIndex(index), index).read()
        except nvml.NVMLError as error:
            uuid, name = self._known.get(index, (GpuUuid(f"card-{index}-without-a-uuid"), ""))
            return unreadable(error, uuid, index, name)
        self._known[index] = card.uuid, card.name
        return card

    def _xid_faults(self, nvml: Any, count: int) -> dict[str, str]:
        if self._xids is None:
            handles = []
            for index in range(count):
                try:
                    handles.append(nvml.nvmlDeviceGetHandleByIndex(index))
                except nvml.NVMLError:
                    continue
            self._xids = XidWatch(nvml, handles)
        return self._xids.faults()

    def _described(self, lists: list[tuple[ProcessUse, ...]]) -> list[tuple[ProcessUse, ...]]:
        """Add name, user and birth to the processes of all cards; each is looked up once."""
        pids = {use.pid for uses in lists for use in uses}
        known = {pid: self._describe(pid) for pid in pids}
        outer: dict[int, int] = {}
        if any(fact.began is None for fact in known.values()):
            outer = self._namespaces()
        here = {
            pid: outer.get(pid, pid) if fact.began is None else pid for pid, fact in known.items()
        }
        known |= {pid: self._describe(pid) for pid in here.values() if pid not in known}
        return [tuple(_told(use, here[use.pid], known) for use in uses) for uses in lists]


def _told(use: ProcessUse, pid: int, known: dict[int, ProcessFacts]) -> ProcessUse:
    fact = known[pid]
    return replace(use, pid=pid, name=fact.name, user=fact.user, began=fact.began)
