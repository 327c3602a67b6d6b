"""The made-up lab is one world for all processes, and runs out of memory in real words."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from gimbal.errors import ConfigError
from gimbal.gpus.backend import BACKEND_VARIABLE, open_backend
from gimbal.gpus.model import GpuSample, ProcessUse
from gimbal.gpus.words import GIB, MIB
from gimbal.testing.clock import ManualClock
from gimbal.testing.fake_gpus import FakeGpus, FakeLab, fake_uuid, from_environment
from gimbal.testing.fake_lab_file import read_fake_lab

CONFIGS = Path(__file__).parents[3] / "configs" / "gpus"
TWO_CARDS = "gpus: [{memory: 24GiB, count: 2}]\n"


class World:
    """A lab on a clock of its own."""

    def __init__(self, folder: Path, text: str, node: str | None = None) -> None:
        self.clock = ManualClock()
        self.file = folder / "lab.yaml"
        self.file.write_text(text)
        self.state = folder / "state"
        self.gpus = FakeGpus(self.file, self.state, node=node, now=self.clock.timestamp)
        self.lab = FakeLab(self.state, node or "lab", now=self.clock.timestamp)

    def sample(self, after_s: float = 0.0) -> tuple[GpuSample, ...]:
        self.clock.advance(after_s)
        return self.gpus.probe().sample().gpus

    def who(self, index: int, after_s: float = 0.0) -> list[tuple[int, int]]:
        processes = self.sample(after_s)[index].processes
        return [(use.pid, (use.used_bytes or 0) // GIB) for use in processes or ()]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., World]:
    return lambda text, **more: World(tmp_path, text, **more)


def run(function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in a process of its own and return what it returned."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, args)


def test_people_come_grow_and_leave_at_their_times(make: Callable[..., World]) -> None:
    world = make(
        TWO_CARDS
        + """timeline:
  - {at: 10s, gpu: 1, process: {pid: 40001, user: alice, memory: 3GiB}}
  - {at: 1m, gpu: 1, process: {pid: 40001, user: alice, memory: 14GiB}}
  - {at: 90s, leave: 40001}
"""
    )
    began = world.clock.timestamp()
    assert world.who(1, 9) == []
    assert world.who(1, 1) == [(40001, 3)]
    assert world.who(1, 50) == [(40001, 14)]
    card = world.sample()[1]
    assert card.used_bytes == 14 * GIB
    assert card.processes == (
        ProcessUse(pid=40001, used_bytes=14 * GIB, name="python", user="alice", began=began + 10),
    )
    assert world.who(0) == []
    assert world.who(1, 30) == []


def test_faults_drivers_hidden_memory_and_flapping(make: Callable[..., World]) -> None:
    world = make(
        TWO_CARDS
        + """timeline:
  - {at: 1, gpu: 0, fault: Xid 79}
  - {at: 2, gpu: 0, repair: true}
  - {at: 3, driver: mismatch}
  - {at: 4, driver: ok}
  - {at: 5, gpu: 1, process: {pid: 7, memory: 2GiB, hidden: true}}
  - {at: 10, gpu: 0, process: {pid: 8, memory: 2GiB}, every: 10s, times: 3}
  - {at: 15, leave: 8, every: 10s, times: 3}
"""
    )
    assert world.sample(1)[0].fault == "Xid 79"
    assert world.sample(1)[0].fault == ""
    world.clock.advance(1)
    broken = world.gpus.probe().sample()
    assert broken.gpus == ()
    assert "different versions" in broken.problem
    hidden = world.sample(2)[1]
    assert (hidden.used_bytes, hidden.processes) == (2 * GIB, ())
    presence = [bool(world.who(0, 5)) for _ in range(8)]
    assert presence == [True, False, True, False, True, False, False, False]


def test_a_neighbour_comes_some_time_after_we_took_the_card(make: Callable[..., World]) -> None:
    world = make(
        TWO_CARDS
        + """timeline:
  - {once_ours: {gpu: 1, for: 15s}, gpu: 1, process: {pid: 9, memory: 24GiB}}
  - {once_ours: {gpu: 1, for: 1m}, leave: 9}
"""
    )
    world.clock.advance(1000)
    memory = world.gpus.memory(fake_uuid("lab", 1))
    memory.reserve(10 * GIB)
    memory.touch()
    assert world.who(1) == [(os.getpid(), 10)]
    world.clock.advance(15)
    assert world.who(1) == [(os.getpid(), 10), (9, 14)]
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED"):
        memory.touch()
    world.clock.advance(45)
    memory.touch()
    assert memory.peak_bytes() == 10 * GIB


def test_memory_runs_out_in_torchs_own_class_and_words(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    world.lab.arrive(0, 14 * GIB, pid=40001)
    memory = world.gpus.memory(fake_uuid("lab", 0))
    assert memory.room() == (10 * GIB, 24 * GIB)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        memory.reserve(12 * GIB)
    text = str(caught.value)
    assert "Tried to allocate 12.00 GiB. GPU 0 has a total capacity of 24.00 GiB of which" in text
    assert "Process 40001 has 14.00 GiB memory in use." in text
    assert memory.peak_bytes() == 0
    memory.reserve(10 * GIB)
    memory.reserve(2 * GIB)
    assert memory.peak_bytes() == 10 * GIB


def test_a_cap_is_kept_and_a_bare_context_counts(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    memory = world.gpus.memory(fake_uuid("lab", 0))
    memory.cap(4 * GIB)
    with pytest.raises(torch.OutOfMemoryError):
        memory.reserve(5 * GIB)
    memory.touch()
    assert memory.peak_bytes() == 384 * MIB
    assert world.lab.own_bytes() == {fake_uuid("lab", 0): 384 * MIB}
    memory.release()
    assert world.sample()[0].used_bytes == 0


@pytest.mark.parametrize(("words", "code"), [("Xid 48: ECC", 214), ("Xid 79", 719)])
def test_a_broken_card_fails_with_cudas_code(
    make: Callable[..., World], words: str, code: int
) -> None:
    world = make(TWO_CARDS)
    memory = world.gpus.memory(fake_uuid("lab", 0))
    world.lab.break_card(0, words)
    with pytest.raises(torch.AcceleratorError) as caught:
        memory.touch()
    assert caught.value.error_code == code
    world.lab.mend(0)
    memory.touch()


def _hold(file: Path, state: Path, size: int) -> tuple[int, float]:
    FakeGpus(file, state).memory(fake_uuid("lab", 0)).reserve(size)
    return os.getpid(), psutil.Process().create_time()


def test_processes_share_the_ledger_and_the_dead_are_not_in_it(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    memory = world.gpus.memory(fake_uuid("lab", 0))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pid, began = pool.apply(_hold, (world.file, world.state, 20 * GIB))
        processes = world.sample()[0].processes
        assert processes is not None
        assert [(use.pid, use.used_bytes, use.began) for use in processes] == [
            (pid, 20 * GIB, began)
        ]
        with pytest.raises(torch.OutOfMemoryError, match=f"Process {pid} has 20.00 GiB"):
            memory.reserve(5 * GIB)
    assert world.who(0) == []
    memory.reserve(5 * GIB)


def _try_hold(file: Path, state: Path, size: int) -> bool:
    try:
        _hold(file, state, size)
    except RuntimeError:
        return False
    return True


def _compete(file: Path, state: Path, barrier: Any, got: Any) -> None:
    barrier.wait()
    got.put(_try_hold(file, state, 10 * GIB))
    barrier.wait()


def test_of_several_that_reserve_at_once_only_as_many_succeed_as_fit(
    make: Callable[..., World],
) -> None:
    world = make(TWO_CARDS)
    context = multiprocessing.get_context("fork")
    barrier, got = context.Barrier(4), context.Queue()
    args = (world.file, world.state, barrier, got)
    children = [context.Process(target=_compete, args=args) for _ in range(4)]
    for child in children:
        child.start()
    assert sorted(got.get(timeout=30) for _ in children) == [False, False, True, True]
    for child in children:
        child.join(timeout=30)


def _arrive(state: Path) -> int:
    return FakeLab(state).arrive(1, 14 * GIB, user="bob")


def test_what_one_process_does_by_hand_all_see_at_once(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    pid = run(_arrive, world.state)
    assert world.who(1) == [(pid, 14)]
    world.lab.leave(pid)
    world.lab.driver("GPU is lost")
    assert world.gpus.probe().sample().problem == "GPU is lost"
    world.lab.driver(None)
    assert world.who(1) == []


def test_a_half_written_line_has_not_happened_yet(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    world.lab.arrive(0, GIB, pid=5)
    with (world.state / "live.jsonl").open("a") as file:
        file.write('{"node": "lab", "event": {"at": 0, "gp')
    assert world.who(0) == [(5, 1)]


def test_a_state_that_cannot_be_read_is_a_problem_and_no_crash(make: Callable[..., World]) -> None:
    world = make(TWO_CARDS)
    world.lab.arrive(0, GIB, pid=5)
    (world.state / "live.jsonl").write_text("nonsense\n")
    assert "cannot be read" in world.gpus.probe().sample().problem


def test_nodes_have_cards_and_people_of_their_own(tmp_path: Path) -> None:
    text = "nodes: {a: {gpus: [{count: 1}]}, b: {gpus: [{count: 2, name: A100, memory: 40GiB}]}}\n"
    first, second = World(tmp_path, text, node="a"), World(tmp_path, text, node="b")
    assert [len(world.sample()) for world in (first, second)] == [1, 2]
    assert first.sample()[0].uuid != second.sample()[0].uuid
    second.lab.arrive(0, GIB, pid=5)
    assert (first.who(0), second.who(0)) == ([], [(5, 1)])
    with pytest.raises(ConfigError, match="GIMBAL_FAKE_NODE: a, b"):
        World(tmp_path, text)
    with pytest.raises(ConfigError, match="no card"):
        first.gpus.memory(fake_uuid("b", 0))


def test_captures_are_replayed_beside_our_own_use(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(
        "<nvidia_smi_log><gpu><uuid>GPU-1</uuid><product_name>A</product_name><fb_memory_usage>"
        "<total>1000 MiB</total><used>600 MiB</used></fb_memory_usage><processes><process_info>"
        "<pid>77</pid><used_memory>500 MiB</used_memory></process_info></processes></gpu>"
        "</nvidia_smi_log>"
    )
    (tmp_path / "two.xml").write_text("No devices were found")
    text = "replay: [{at: 10s, capture: two.xml}, {at: 0s, capture: one.xml}]\n"
    world = World(tmp_path, text)
    world.gpus.memory(world.sample()[0].uuid).reserve(300 * MIB)
    card = world.sample()[0]
    assert card.used_bytes == 900 * MIB
    assert {use.pid for use in card.processes or ()} == {77, os.getpid()}
    world.clock.advance(10)
    assert "No devices" in world.gpus.probe().sample().problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpus: [{count: 0}]\n", "gpus.0.count"),
        ("gpu: []\n", "keys there: gpus, timeline, nodes, replay"),
        (TWO_CARDS + "timeline: [{at: 1s, gpu: 0}]\n", "exactly one of process"),
        (TWO_CARDS + "timeline: [{gpu: 0, fault: x}]\n", "either at or once_ours"),
        (TWO_CARDS + "timeline: [{at: soon, gpu: 0, fault: x}]\n", "is not a duration"),
        (TWO_CARDS + "timeline: [{at: 1s, gpu: 2, fault: x}]\n", "there are 2 cards"),
        (TWO_CARDS + "timeline: [{at: 1s, fault: x}]\n", "on which gpu"),
        (TWO_CARDS + "timeline: [{at: 1s, gpu: 0, fault: x, times: 2}]\n", "needs every"),
        (TWO_CARDS + "replay: [{at: 0s, capture: x.xml}]\n", "write either gpus"),
        ("", "write either gpus"),
        ("[1]\n", "should be"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_a_remedy(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_fake_lab(file)
    assert words in str(caught.value)
    assert "lab.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["busy_lab", "quiet_lab"])
def test_the_labs_of_this_repository_are_sound(tmp_path: Path, name: str) -> None:
    gpus = FakeGpus(CONFIGS / f"{name}.yaml", tmp_path)
    sample = gpus.probe().sample()
    assert not sample.problem
    assert all(card.total_bytes == 24 * GIB for card in sample.gpus)
    busy = [card.used_bytes == 14 * GIB for card in sample.gpus]
    assert busy == ([True] * 4 if name == "busy_lab" else [False] * 2)


def test_the_busy_lab_tells_its_story(tmp_path: Path) -> None:
    """The first job on card 0 is hit by a neighbour, whatever memory it stated, who then leaves."""
    clock = ManualClock()
    gpus = FakeGpus(CONFIGS / "busy_lab.yaml", tmp_path, now=clock.timestamp)
    clock.advance(100)
    memory = gpus.memory(fake_uuid("lab", 0))
    memory.touch()
    clock.advance(15)
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED"):
        memory.touch()
    clock.advance(3 * 60)
    memory.touch()


def test_the_environment_selects_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BACKEND_VARIABLE, "gimbal.testing.fake_gpus:from_environment")
    with pytest.raises(ConfigError, match="GIMBAL_FAKE_GPUS_STATE is not set"):
        from_environment()
    monkeypatch.setenv("GIMBAL_FAKE_GPUS", str(CONFIGS / "quiet_lab.yaml"))
    monkeypatch.setenv("GIMBAL_FAKE_GPUS_STATE", str(tmp_path))
    assert len(open_backend().probe().sample().gpus) == 2
