"""Workers' own reports count for as long as a process of their attempt lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gimbal.experiment.attempt import ATTEMPT_VARIABLE, AttemptFolder, WorkerFile
from gimbal.gpus.self_reports import self_reported
from gimbal.gpus.words import GIB


def worker(rank: int, uuids: tuple[str, ...], reserved: int, peak: int) -> WorkerFile:
    return WorkerFile(rank=rank, uuids=uuids, reserved_bytes=reserved, peak_bytes=peak, at=1.0)


def test_the_larger_of_budget_and_peak_of_every_living_attempt_counts(tmp_path: Path) -> None:
    alive, dead = AttemptFolder(tmp_path / "alive"), AttemptFolder(tmp_path / "dead")
    alive.write("worker-0", worker(0, ("GPU-a",), 4 * GIB, 5 * GIB))
    alive.write("worker-1", worker(1, ("GPU-a",), 3 * GIB, GIB))
    alive.write("worker-2", worker(2, ("GPU-b",), 0, 2 * GIB))
    (alive.path / "worker-3.json").write_text("half")
    dead.write("worker-0", worker(0, ("GPU-a",), 9 * GIB, 9 * GIB))
    environment = {**os.environ, ATTEMPT_VARIABLE: str(alive.path)}
    command = [sys.executable, "-S", "-c", "print(flush=True); import time; time.sleep(600)"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = self_reported([process.pid, process.pid, os.getpid(), 2**22 + 5])
        process.kill()
    assert found == {"GPU-a": 8 * GIB, "GPU-b": 2 * GIB}
    assert self_reported([process.pid]) == {}


def test_an_environment_that_may_not_be_read_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(self: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "environ", denied)
    assert self_reported([os.getpid()]) == {}
