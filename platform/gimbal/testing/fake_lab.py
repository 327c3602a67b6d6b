"""A hand on a made-up lab while it runs: neighbours arrive and leave, cards break."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ByteSize

from gimbal.testing.fake_lab_file import DRIVER_OK, FakeEvent, FakeProcess
from gimbal.testing.fake_lab_state import FakeLabState

_FIRST_PID = 3_000_000
"""Real ids rarely reach it; where one does, its creation time still tells the two apart."""


class FakeLab:
    """Changes a lab at once and for every process that sees it.

    Args:
        state_dir: The folder given as `GIMBAL_FAKE_GPUS_STATE`.
        node: Which node of the lab.
        now: Returns Unix seconds.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        node: str = "lab",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._state = FakeLabState(Path(state_dir), node)
        self._now = now
        self._next_pid = _FIRST_PID

    def arrive(
        self, gpu: int, memory_bytes: int, *, user: str = "alice", pid: int | None = None
    ) -> int:
        """Put somebody's process on a card, or change the memory of one that is there.

        Returns:
            Its id.
        """
        if pid is None:
            pid = self._next_pid
            self._next_pid += 1
        process = FakeProcess(pid=pid, user=user, memory=ByteSize(memory_bytes))
        self._add(gpu=gpu, process=process)
        return pid

    def leave(self, pid: int) -> None:
        """Take a process off all cards."""
        self._add(leave=pid)

    def break_card(self, gpu: int, words: str = "Xid 79: the GPU has fallen off the bus") -> None:
        """Make a card report a hardware error."""
        self._add(gpu=gpu, fault=words)

    def mend(self, gpu: int) -> None:
        """Make a card whole again."""
        self._add(gpu=gpu, repair=True)

    def driver(self, words: str | None) -> None:
        """Make the driver fail with these words; None: it answers again."""
        self._add(driver=DRIVER_OK if words is None else words)

    def own_bytes(self) -> dict[str, int]:
        """Return what living processes of ours hold, by UUID."""
        held: dict[str, int] = {}
        for process in self._state.own():
            for uuid, size in process.held.items():
                held[uuid] = held.get(uuid, 0) + size
        return held

    def _add(
        self,
        *,
        gpu: int | None = None,
        process: FakeProcess | None = None,
        leave: int | None = None,
        fault: str | None = None,
        repair: bool | None = None,
        driver: str | None = None,
    ) -> None:
        now = self._now()
        at = max(0.0, now - self._state.began(now))
        event = FakeEvent(
            at=at, gpu=gpu, process=process, leave=leave, fault=fault, repair=repair, driver=driver
        )
        self._state.append(event)
