"""How the driver lists our processes is tried once, and never guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from gimbal.gpus.attribution import PidMode
from gimbal.gpus.backend import BACKEND_VARIABLE
from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.self_probe import Launch, probe_self, probe_self_if_real, torch_child
from gimbal.gpus.words import GIB, MIB
from gimbal.scheduling.model import GpuUuid

CHILD = 500


def card(index: int, used: int = 0, *processes: ProcessUse, problem: str = "") -> GpuSample:
    return GpuSample(
        uuid=GpuUuid(f"GPU-{index}"),
        index=index,
        name="x",
        total_bytes=24 * GIB,
        used_bytes=used,
        processes=processes,
        problem=problem,
    )


class Probe:
    """Shows one sample after the other, the last for ever."""

    def __init__(self, *samples: Sequence[GpuSample]) -> None:
        self._samples = [NodeSample(at=0, gpus=tuple(gpus)) for gpus in samples]

    def sample(self) -> NodeSample:
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]

    def close(self) -> None: ...


def launcher(pid: int | None, asked: list[str] | None = None) -> Launch:
    @contextlib.contextmanager
    def launch(uuids: Sequence[GpuUuid]) -> Iterator[int | None]:
        if asked is not None:
            asked.extend(uuids)
        yield pid

    return launch


def use(pid: int, held: int | None) -> ProcessUse:
    return ProcessUse(pid=pid, used_bytes=held)


OLD = use(9, GIB)


@pytest.mark.parametrize(
    ("listed", "mode"),
    [
        ((OLD, use(CHILD, 500 * MIB)), PidMode.VISIBLE),
        ((OLD, use(CHILD, None)), PidMode.NO_MEMORY),
        ((OLD, use(CHILD, 0)), PidMode.NO_MEMORY),
        ((OLD, use(7123, 500 * MIB)), PidMode.FOREIGN_NAMESPACE),
        ((OLD, use(3, None)), PidMode.FOREIGN_NAMESPACE),
        ((OLD,), PidMode.INVISIBLE),
        ((), PidMode.INVISIBLE),
    ],
)
def test_the_mode_is_how_the_child_is_listed(listed: tuple[ProcessUse, ...], mode: PidMode) -> None:
    probe = Probe([card(0, GIB, OLD)], [card(0, 2 * GIB, *listed)])
    assert probe_self(probe, launcher(CHILD)).mode is mode


def test_the_worst_card_counts_and_is_named() -> None:
    seen = use(CHILD, 500 * MIB)
    probe = Probe([card(0), card(1)], [card(0, GIB, seen), card(1, GIB)])
    found = probe_self(probe, launcher(CHILD))
    assert found.mode is PidMode.INVISIBLE
    assert "card 1" in found.words


def test_full_and_broken_cards_are_left_alone() -> None:
    asked: list[str] = []
    cards = [card(0, 24 * GIB - 500 * MIB), card(1, problem="lost"), card(2)]
    probe_self(Probe(cards), launcher(CHILD, asked))
    assert asked == ["GPU-2"]
    found = probe_self(Probe(cards[:2]), launcher(CHILD))
    assert found.mode is PidMode.UNCHECKED


def test_without_cuda_it_says_that_it_cannot_be_checked() -> None:
    found = probe_self(Probe([card(0)]), launcher(None))
    assert found.mode is PidMode.UNCHECKED
    assert "not checkable" in found.words


def test_made_up_cards_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BACKEND_VARIABLE, "x:y")
    asked: list[str] = []
    assert probe_self_if_real(Probe([card(0)]), launcher(1, asked)).mode is PidMode.UNCHECKED
    assert asked == []


_TORCH = """
import os
uint8 = 1
cards = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
class cuda:
    device_count = staticmethod(lambda: len(cards) - {hidden})
def empty(size, dtype, device):
    open(os.environ["ASKED"], "a").write(f"{{size}} {{device}}\\n")
"""


@pytest.mark.parametrize(("hidden", "works"), [(0, True), (2, False)])
def test_the_child_puts_memory_on_every_card_it_is_given_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: int, works: bool
) -> None:
    (tmp_path / "torch.py").write_text(_TORCH.format(hidden=hidden))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    with torch_child([GpuUuid("GPU-1"), GpuUuid("GPU-2")]) as pid:
        assert (pid is not None) is works
        if pid is not None:
            asked = (tmp_path / "asked").read_text().splitlines()
            assert asked == [f"{64 * MIB} cuda:0", f"{64 * MIB} cuda:1"]
    assert pid is None or not psutil.pid_exists(pid)
