"""How does the driver list a process of ours? Found by trying, because nothing else tells.

Inside containers drivers list ids of the host, ids of the container, ids without memory, or no
process at all, and the version does not say which. A child that puts a little memory on each card
shows it. `attribution` goes by the result.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from gimbal.gpus.attribution import PidMode
from gimbal.gpus.backend import BACKEND_VARIABLE
from gimbal.gpus.model import GpuSample, ProcessUse
from gimbal.gpus.ports import GpuProbe
from gimbal.gpus.words import GIB, MIB
from gimbal.scheduling.model import GpuUuid

PROBE_BYTES = 64 * MIB
_ROOM_BYTES = GIB
"""Free memory below which a card is left alone: a context beside the probe's memory takes half of
that, and a neighbour may be about to need it."""
_START_S = 60.0
_CHILD = f"""
import sys, torch
held = [torch.empty({PROBE_BYTES}, dtype=torch.uint8, device=f"cuda:{{number}}")
        for number in range(torch.cuda.device_count())]
assert held
print("ready", flush=True)
sys.stdin.read()
"""
_ORDER = (PidMode.VISIBLE, PidMode.NO_MEMORY, PidMode.FOREIGN_NAMESPACE, PidMode.INVISIBLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfProbe:
    """What was found.

    Attributes:
        mode: The worst of all cards.
        words: A sentence for people.
    """

    mode: PidMode
    words: str


Launch = Callable[[Sequence[GpuUuid]], AbstractContextManager[int | None]]
"""Holds `PROBE_BYTES` on these cards in a child and gives its pid; None: it could not."""


@contextlib.contextmanager
def torch_child(uuids: Sequence[GpuUuid]) -> Iterator[int | None]:
    """Hold memory on cards in a child with torch; see `Launch`."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(uuids)}
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            yield child.pid if _says_ready(child) else None
        finally:
            child.kill()


def _says_ready(child: subprocess.Popen[bytes]) -> bool:
    if child.stdout is None:
        return False
    ready, _, _ = select.select([child.stdout], [], [], _START_S)
    return bool(ready) and child.stdout.readline() == b"ready\n"


def probe_self_if_real(probe: GpuProbe, launch: Launch = torch_child) -> SelfProbe:
    """Do `probe_self`, unless the cards are made up: no driver lists anybody there."""
    if os.environ.get(BACKEND_VARIABLE):
        return _unchecked("the cards are not the driver's")
    return probe_self(probe, launch)


def probe_self(probe: GpuProbe, launch: Launch = torch_child) -> SelfProbe:
    """Find out how the driver lists a process of ours.

    Args:
        probe: The node's probe.
        launch: Puts memory on cards.
    """
    before = {gpu.uuid: gpu for gpu in probe.sample().gpus if _has_room(gpu)}
    if not before:
        return _unchecked("no card has room to try")
    with launch(sorted(before)) as pid:
        if pid is None:
            return _unchecked("torch cannot use the cards from here")
        after = [gpu for gpu in probe.sample().gpus if gpu.uuid in before]
    if not after:
        return _unchecked("the cards could not be seen again")
    modes = {gpu.index: _mode(before[gpu.uuid], gpu, pid) for gpu in after}
    worst = max(modes.values(), key=_ORDER.index)
    cards = ", ".join(str(index) for index, mode in modes.items() if mode is worst)
    return SelfProbe(mode=worst, words=f"the driver lists our processes as: {worst} (card {cards})")


def _unchecked(why: str) -> SelfProbe:
    return SelfProbe(mode=PidMode.UNCHECKED, words=f"{PidMode.UNCHECKED}: {why}")


def _has_room(gpu: GpuSample) -> bool:
    if gpu.problem or gpu.fault or gpu.total_bytes is None or gpu.used_bytes is None:
        return False
    return gpu.total_bytes - gpu.reserved_bytes - gpu.used_bytes >= _ROOM_BYTES


def _mode(before: GpuSample, after: GpuSample, pid: int) -> PidMode:
    listed = after.processes or ()
    ours = next((use for use in listed if use.pid == pid), None)
    if ours is not None:
        return PidMode.VISIBLE if _explains(ours) else PidMode.NO_MEMORY
    known = {use.pid for use in before.processes or ()}
    came = any(use.pid not in known and (_explains(use) or not use.used_bytes) for use in listed)
    return PidMode.FOREIGN_NAMESPACE if came else PidMode.INVISIBLE


def _explains(use: ProcessUse) -> bool:
    """Whether a listed process has at least the memory that was put on the card."""
    return (use.used_bytes or 0) >= PROBE_BYTES
