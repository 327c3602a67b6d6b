"""Whatever NVML says or fails to say, a sample comes of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_nvml import Card, FakeNvml, error

from gimbal.gpus.model import GpuSample, ProcessUse
from gimbal.gpus.nvml import NvmlBackend
from gimbal.gpus.nvml_driver import NvmlDriver
from gimbal.gpus.nvml_probe import NvmlProbe
from gimbal.gpus.processes import ProcessFacts
from gimbal.gpus.words import GIB, MIB
from gimbal.testing.clock import ManualClock

_PEOPLE = {7: ProcessFacts(name="python", user="alice", began=100.0)}


class Lab:
    """A probe on a scripted driver and a clock."""

    def __init__(
        self, nvml: Any, driver_file: Path = Path("/nowhere"), inner: dict[int, int] | None = None
    ) -> None:
        self.nvml = nvml
        self.clock = ManualClock()
        self.probe = NvmlProbe(
            driver=NvmlDriver(nvml, self.clock.monotonic, driver_file),
            now=self.clock.timestamp,
            describe=lambda pid: _PEOPLE.get(pid, ProcessFacts()),
            namespaces=lambda: inner or {},
        )

    def card(self, index: int = 0) -> GpuSample:
        sample = self.probe.sample()
        assert not sample.problem
        return sample.gpus[index]


def one(**facts: Any) -> GpuSample:
    return Lab(FakeNvml(Card(**facts))).card()


def test_a_card_with_a_process_is_read_with_who_it_is() -> None:
    card = one(uuid=b"GPU-a", used=3 * GIB, compute=[(7, 2 * GIB), (8, GIB)])
    assert (card.uuid, card.index, card.name) == ("GPU-a", 0, "NVIDIA GeForce RTX 3090")
    assert (card.total_bytes, card.used_bytes) == (24 * GIB, 3 * GIB)
    assert card.reserved_bytes == 316 * MIB
    assert card.processes == (
        ProcessUse(pid=7, used_bytes=2 * GIB, name="python", user="alice", began=100.0),
        ProcessUse(pid=8, used_bytes=GIB),
    )
    assert (card.fault, card.problem) == ("", "")


def test_an_old_driver_without_the_newer_calls_is_read_by_the_older_ones() -> None:
    missing = ("memory_v2", "compute_v3", "graphics_v3", "mps_v3", "mig", "remapped", "events")
    nvml = FakeNvml(Card(used=GIB, compute=[(7, GIB)]), missing=missing)
    card = Lab(nvml).card()
    assert (card.used_bytes, card.reserved_bytes) == (GIB + 316 * MIB, 0)
    assert [use.pid for use in card.processes or ()] == [7]


def test_compute_graphics_and_mps_processes_are_one_list() -> None:
    card = one(used=4 * GIB, compute=[(7, GIB)], graphics=[(7, 2 * GIB), (8, 5)], mps=[(9, None)])
    assert {use.pid: use.used_bytes for use in card.processes or ()} == {
        7: 2 * GIB,
        8: 5,
        9: None,
    }


@pytest.mark.parametrize("held", [None, 2**64 - 1])
def test_memory_that_is_not_available_is_unknown(held: int | None) -> None:
    assert one(compute=[(7, held)]).processes == (
        ProcessUse(pid=7, used_bytes=None, name="python", user="alice", began=100.0),
    )


def test_a_list_of_shuffled_structs_is_read_in_the_older_layout() -> None:
    """Drivers 535.43 to 535.86 changed the struct without a new version."""
    shuffled = [(0, 7), (4294967295, 0), (7, 2 * GIB)]
    card = one(used=2 * GIB, compute=shuffled, old_compute=[(7, 2 * GIB)])
    assert [(use.pid, use.used_bytes) for use in card.processes or ()] == [(7, 2 * GIB)]


def test_impossible_entries_are_dropped_and_an_impossible_list_as_a_whole() -> None:
    assert one(compute=[(0, 1), (2**32 - 1, 1), (7, 25 * GIB)]).processes == ()
    assert one(used=GIB, compute=[(7, 9 * GIB), (8, 9 * GIB)]).processes is None


def test_a_list_that_may_not_be_had_is_unknown_and_not_empty() -> None:
    assert one(compute=error("NotSupported")).processes is None
    assert one(graphics=error("NoPermission")).processes == ()


def test_memory_taken_while_the_list_is_read_belongs_to_nobody_wrongly() -> None:
    """A process of ours that grows at that moment must not look like a stranger's memory."""
    counts = iter([GIB, 9 * GIB])
    card = one(used=lambda: next(counts), compute=[(7, GIB)])
    assert card.used_bytes == GIB


def test_a_card_without_memory_of_its_own_says_so() -> None:
    card = one(memory=error("NotSupported"), compute=[(7, GIB)])
    assert (card.total_bytes, card.used_bytes, card.problem) == (None, None, "")
    assert [use.pid for use in card.processes or ()] == [7]


def test_a_card_in_mig_mode_is_not_for_us() -> None:
    assert "MIG" in one(mig=(1, 1)).problem
    assert one(mig=error("NotSupported")).problem == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ecc": 3}, "3 uncorrectable ECC errors"),
        ({"remapped": (0, 1, 0, 1)}, "must be replaced"),
        ({"remapped": (0, 1, 1, 0)}, "reset the card"),
        ({"retiring": 1}, "reset the card"),
        ({"remapped": (5, 0, 0, 0)}, ""),
        (
            {
                "ecc": error("NotSupported"),
                "remapped": error("NotSupported"),
                "retiring": error("NotSupported"),
            },
            "",
        ),
    ],
)
def test_bad_memory_is_a_fault_where_the_card_counts_it(facts: dict, words: str) -> None:
    fault = one(**facts).fault
    assert words in fault
    assert bool(words) == bool(fault)


def test_a_hardware_xid_is_remembered_and_a_programs_is_not() -> None:
    lab = Lab(FakeNvml(Card(), Card(uuid="GPU-b")))
    lab.nvml.xids = [(0, 13), (1, 79), (0, 31)]
    assert lab.card(0).fault == ""
    assert lab.card(1).fault == "Xid 79: the GPU has fallen off the bus"
    assert lab.card(0).fault == ""


def test_cards_that_tell_no_xids_are_read_all_the_same() -> None:
    nvml = FakeNvml(Card())
    nvml.events = error("NotSupported")
    nvml.xids = [(0, 79)]
    assert Lab(nvml).card().fault == ""


def test_a_lost_card_keeps_its_name_and_the_others_are_read() -> None:
    lab = Lab(FakeNvml(Card(), Card(uuid="GPU-b", used=GIB)))
    lab.card()
    lab.nvml.cards[0].handle = error("GpuIsLost")
    lost, other = lab.probe.sample().gpus
    assert (lost.uuid, lost.total_bytes) == ("GPU-a", None)
    assert "lost" in lost.fault
    assert lost.problem
    assert (other.uuid, other.used_bytes, other.fault) == ("GPU-b", GIB, "")


def test_an_unknown_error_of_one_card_is_a_problem_and_no_fault() -> None:
    lab = Lab(FakeNvml(Card(memory=error("Unknown")), Card(uuid="GPU-b")))
    broken, other = lab.probe.sample().gpus
    assert (broken.uuid, broken.fault) == ("card-0-without-a-uuid", "")
    assert "Unknown" in broken.problem
    assert other.problem == ""


def test_a_laptop_without_driver_has_no_cards_and_no_problem() -> None:
    for name in ("LibraryNotFound", "DriverNotLoaded"):
        sample = Lab(FakeNvml(init=error(name))).probe.sample()
        assert (sample.gpus, sample.problem) == ((), "")
    assert Lab(FakeNvml()).probe.sample().problem == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LibRmVersionMismatch", "different versions"),
        ("LibraryNotFound", "not found"),
        ("DriverNotLoaded", "not loaded"),
        ("Unknown", "does not answer"),
        ("NoPermission", "may not"),
    ],
)
def test_a_driver_that_is_there_and_broken_is_a_problem(
    tmp_path: Path, name: str, words: str
) -> None:
    lab = Lab(FakeNvml(init=error(name)), driver_file=tmp_path)
    assert words in lab.probe.sample().problem


def test_a_module_of_the_same_name_from_another_package_is_a_problem() -> None:
    sample = Lab(SimpleNamespace(NVMLError=Exception)).probe.sample()
    assert "nvidia-ml-py" in sample.problem


def test_a_driver_that_broke_is_opened_again_after_growing_pauses() -> None:
    lab = Lab(FakeNvml(Card()))
    lab.card()
    lab.nvml.count = error("LibRmVersionMismatch")
    assert "different versions" in lab.probe.sample().problem
    lab.nvml.init = error("Unknown")
    for _ in range(100):
        assert lab.probe.sample().problem
        lab.clock.advance(1)
    assert 4 <= lab.nvml.opened <= 8
    lab.nvml.init, lab.nvml.count = None, 1
    lab.clock.advance(60)
    assert lab.card().uuid == "GPU-a"
    before = lab.nvml.opened
    lab.card()
    assert lab.nvml.opened == before


def test_a_driver_that_lost_all_its_cards_is_opened_again() -> None:
    lab = Lab(FakeNvml(Card()))
    lab.card()
    lab.nvml.cards[0].handle = error("GpuIsLost")
    assert lab.probe.sample().gpus[0].fault
    lab.nvml.cards[0].handle = None
    assert lab.probe.sample().problem
    lab.clock.advance(2)
    assert lab.card().fault == ""


def test_an_answer_of_another_shape_is_a_problem_and_no_crash() -> None:
    nvml = FakeNvml(Card(used="much"))
    assert "makes no sense" in Lab(nvml).probe.sample().problem


def test_a_pid_of_a_container_is_translated_where_its_namespace_shows_it() -> None:
    lab = Lab(FakeNvml(Card(used=2, compute=[(3, 1), (4, 1)])), inner={3: 7})
    assert lab.card().processes == (
        ProcessUse(pid=7, used_bytes=1, name="python", user="alice", began=100.0),
        ProcessUse(pid=4, used_bytes=1),
    )


def test_the_backend_opens_no_driver_before_it_is_asked() -> None:
    nvml = FakeNvml(Card())
    probe = NvmlBackend(nvml).probe()
    assert nvml.opened == 0
    assert probe.sample().gpus[0].uuid == "GPU-a"
    probe.close()
    assert not nvml.is_open


def test_this_machines_own_driver_or_none_gives_a_sample() -> None:
    probe = NvmlBackend().probe()
    sample = probe.sample()
    probe.close()
    assert sample.at > 0
    assert all(gpu.uuid for gpu in sample.gpus)
