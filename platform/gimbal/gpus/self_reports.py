"""What our workers on this node say they hold, for drivers that do not say it themselves.

A worker writes it into its attempt's folder, and the folder is named in its environment. Only
attempts with a living process here are asked: the file of a worker that died stays behind.
"""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from gimbal.experiment.attempt import ATTEMPT_VARIABLE, AttemptFolder, WorkerFile
from gimbal.scheduling.model import GpuUuid


def self_reported(pids: Iterable[int]) -> dict[GpuUuid, int]:
    """Return what is held on each card, in bytes.

    Args:
        pids: Living processes of ours on this node.
    """
    held: dict[GpuUuid, int] = {}
    for folder in sorted(_attempts(pids)):
        for worker in AttemptFolder(folder).every("worker", WorkerFile):
            for uuid in worker.uuids:
                size_bytes = max(0, worker.reserved_bytes, worker.peak_bytes)
                held[GpuUuid(uuid)] = held.get(GpuUuid(uuid), 0) + size_bytes
    return held


def _attempts(pids: Iterable[int]) -> set[str]:
    found: set[str] = set()
    for pid in pids:
        try:
            found.add(psutil.Process(pid).environ().get(ATTEMPT_VARIABLE, ""))
        except (psutil.Error, OSError):
            continue
    return found - {""}
