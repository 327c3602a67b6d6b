"""Our own processes are found by descent, by label and by memory; nobody else's are."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gimbal.experiment.attempt import ATTEMPT_VARIABLE
from gimbal.gpus.model import GpuSample, NodeSample, Owner, ProcessUse
from gimbal.gpus.processes import ProcessWatch, facts, outer_pids
from gimbal.scheduling.model import GpuUuid

_SLEEP = [sys.executable, "-S", "-c", "print('up', flush=True); import time; time.sleep(600)"]


def sample(pid: int, began: float | None) -> NodeSample:
    use = ProcessUse(pid=pid, used_bytes=1, began=began)
    card = GpuSample(
        uuid=GpuUuid("GPU-1"),
        index=0,
        name="x",
        total_bytes=9,
        used_bytes=1,
        processes=(use,),
    )
    return NodeSample(at=0, gpus=(card,))


def owner(watch: ProcessWatch, pid: int, began: float | None) -> Owner | None:
    seen = sample(pid, began)
    return watch.own(seen).owner((seen.gpus[0].processes or ())[0])


@pytest.fixture
def child() -> Iterator[psutil.Popen]:
    environment = {**os.environ, ATTEMPT_VARIABLE: "/runs/.jobs/j1/1"}
    with psutil.Popen(_SLEEP, env=environment, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def test_descendants_are_live_and_others_with_our_label_are_left_behind(
    child: psutil.Popen,
) -> None:
    began = child.create_time()
    stranger = os.getppid()
    assert owner(ProcessWatch([os.getpid()]), child.pid, began) is Owner.OWN_LIVE
    assert owner(ProcessWatch([]), child.pid, began) is Owner.OWN_LEAKED
    assert owner(ProcessWatch([], "/runs/.jobs/"), child.pid, began) is Owner.OWN_LEAKED
    assert owner(ProcessWatch([], "/other/"), child.pid, began) is None
    assert owner(ProcessWatch([]), stranger, psutil.Process(stranger).create_time()) is None


def test_a_process_of_another_birth_is_neither(child: psutil.Popen) -> None:
    assert owner(ProcessWatch([os.getpid()]), child.pid, child.create_time() - 100) is None
    assert owner(ProcessWatch([os.getpid()]), child.pid, None) is None


def test_another_users_label_is_not_believed(
    child: psutil.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 424242)
    assert owner(ProcessWatch([]), child.pid, child.create_time()) is None


def test_an_environment_that_may_not_be_read_is_a_strangers(
    child: psutil.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "environ", denied)
    assert owner(ProcessWatch([]), child.pid, child.create_time()) is None


def test_a_dead_process_that_was_ours_stays_ours_while_the_driver_lists_it(
    child: psutil.Popen,
) -> None:
    watch = ProcessWatch([os.getpid()])
    began, pid = child.create_time(), child.pid
    assert owner(watch, pid, began) is Owner.OWN_LIVE
    child.kill()
    child.wait()
    assert owner(watch, pid, began) is Owner.OWN_LEAKED
    assert owner(watch, pid, None) is Owner.OWN_LEAKED
    watch.own(NodeSample(at=0))
    assert owner(watch, pid, None) is None


def test_facts_name_the_program_and_its_user_but_not_its_arguments(child: psutil.Popen) -> None:
    known = facts(child.pid)
    assert known.name.startswith("python")
    assert known.user == psutil.Process().username()
    assert known.began is not None
    assert abs(known.began - time.time()) < 300
    assert facts(2**22 + 5).began is None


def test_a_pid_of_a_container_is_found_by_its_namespaces(tmp_path: Path) -> None:
    for pid, line in [(100, "100"), (200, "200\t7"), (300, "300\t5\t9"), (400, "400\t9")]:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nNSpid:\t{line}\n")
    assert outer_pids(tmp_path) == {7: 200}
