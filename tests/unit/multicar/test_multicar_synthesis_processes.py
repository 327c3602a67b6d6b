"""Made sets on several processes: one that is killed, and Ctrl-C while they begin."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.synthesis import making
from gimbal_multicar.synthesis.tree import Tree, TreeOptions, rig_from


def tree(root: Path) -> Tree:
    options = TreeOptions(
        scenarios=2, agents=1, frames=1, width=16, height=12, lidar_columns=8, depth=False
    )
    return Tree(root=root, options=options, rig=rig_from(options, None))


def make(root: Path) -> None:
    making.make_tree(tree(root), lambda done, total: None, processes=2)


def die(*_: object) -> int:
    """Stand for the kernel, which kills what takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def holds_interrupts() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_killed_process_is_an_error_that_says_how_to_go_on(tmp_path, monkeypatch):
    class Broken:
        def submit(self, *_: object) -> Future[int]:
            future: Future[int] = Future()
            future.set_exception(BrokenProcessPool("terminated abruptly"))
            return future

    monkeypatch.setattr(making, "_pool", lambda processes: contextlib.nullcontext(Broken()))
    with pytest.raises(SynthesisError, match="was killed") as caught:
        make(tmp_path / "s")
    assert "run the same command again" in caught.value.remedy
    assert not holds_interrupts()


@pytest.mark.slow
def test_a_process_that_is_really_killed_is_the_same_error(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "write_car_frames", die)
    with pytest.raises(SynthesisError, match="was killed"):
        make(tmp_path / "s")
    monkeypatch.undo()
    make(tmp_path / "s")
    assert len(list((tmp_path / "s").rglob("*_camera0.png"))) == 2


@pytest.mark.slow
def test_processes_are_born_deaf_to_ctrl_c():
    with making._pool(1) as pool:
        with making._interrupts_held():
            future = pool.submit(holds_interrupts)
        assert not holds_interrupts(), "the parent still hears it"
        assert future.result()
