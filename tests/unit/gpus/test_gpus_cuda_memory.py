"""A worker's card through torch: found by UUID, reserved with its context, measured."""

from __future__ import annotations

import pytest
from fake_nvml import Card, FakeCuda, FakeNvml, error

from gimbal.errors import ConfigError
from gimbal.gpus.nvml import NvmlBackend
from gimbal.gpus.words import GIB, MIB
from gimbal.scheduling.model import GpuUuid


class Lab:
    """Two cards that torch numbers the other way round."""

    def __init__(self, used: int = 0, listed: bool = True) -> None:
        self.card = Card(uuid="GPU-b", used=used)
        self.nvml = FakeNvml(Card(), self.card)
        self.torch = FakeCuda(["GPU-b", "GPU-a"], self.nvml, listed)
        self.memory = NvmlBackend(self.nvml, self.torch).memory(GpuUuid("GPU-b"))


def test_the_card_is_found_by_its_uuid_and_a_wrong_one_is_refused() -> None:
    lab = Lab()
    lab.memory.cap(12 * GIB)
    assert lab.torch.fraction is not None
    assert lab.torch.fraction[1] == 0
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
        NvmlBackend(lab.nvml, lab.torch).memory(GpuUuid("GPU-c"))


def test_room_is_told_without_making_a_context() -> None:
    lab = Lab(used=GIB)
    assert lab.memory.room() == (23 * GIB - 316 * MIB, 24 * GIB - 316 * MIB)
    assert not lab.torch.has_context
    assert not lab.nvml.is_open


def test_room_is_torchs_word_where_nvml_has_none() -> None:
    lab = Lab(used=GIB)
    lab.nvml.init = error("LibraryNotFound")
    assert lab.memory.room() == (23 * GIB - 316 * MIB, 24 * GIB - 316 * MIB)


@pytest.mark.parametrize("listed", [True, False])
def test_the_budget_covers_the_context_and_is_taken_once(listed: bool) -> None:
    """Where the driver does not list us, the context is what the card lost as it was made."""
    lab = Lab(listed=listed)
    lab.memory.reserve(10 * GIB)
    assert lab.card.used == 10 * GIB
    assert lab.memory.peak_bytes() == 10 * GIB
    lab.memory.reserve(10 * GIB)
    lab.memory.reserve(GIB)
    assert lab.card.used == 10 * GIB
    lab.memory.touch()


def test_a_neighbour_who_comes_at_that_moment_is_not_taken_for_the_context() -> None:
    lab = Lab(listed=False)

    def neighbour() -> None:
        lab.card.used += 9 * GIB

    lab.torch.on_empty = neighbour
    lab.memory.cap(GIB)
    assert lab.memory.peak_bytes() <= 2 * GIB + 2 * MIB


def test_a_card_that_is_taken_fails_in_torchs_words() -> None:
    lab = Lab(used=20 * GIB)
    with pytest.raises(RuntimeError, match="out of memory"):
        lab.memory.reserve(10 * GIB)


def test_the_cap_is_a_fraction_of_the_card_without_the_context() -> None:
    lab = Lab()
    lab.memory.cap(12 * GIB + lab.torch.context)
    assert lab.torch.fraction == (0.5, 0)
    lab.memory.cap(100 * GIB)
    assert lab.torch.fraction == (1.0, 0)
    lab.memory.cap(0)
    assert lab.torch.fraction == (0.0, 0)


def test_a_card_never_used_has_no_peak_and_gets_no_context_by_asking() -> None:
    lab = Lab()
    assert lab.memory.peak_bytes() == 0
    assert not lab.torch.has_context
