"""Data stages on a real Ray: balanced, repeatable, and unmoved by the death of a worker."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal.data import BadItem, BlockSchema, Column, DataStage
from gimbal.data.building import run_here
from gimbal.data.reading import BlockReader
from gimbal.data.records import MANIFEST, read_manifest
from gimbal.data.writing import write_stage
from gimbal.errors import StageFailed, StorageError
from gimbal.experiment.settings import Settings

pytestmark = pytest.mark.ray


class HarshSettings(Settings):
    """What befalls which item."""

    items: int = 16
    bad: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    killed_once: tuple[int, ...] = ()
    deadly: tuple[int, ...] = ()
    marks: str = ""
    """Folder in which an item that kills its process once remembers that it did."""


@dataclass(frozen=True, kw_only=True)
class HarshStage(DataStage):
    name: str = "harsh"
    settings: HarshSettings = field(default_factory=HarshSettings)
    items_per_block: int = 2

    @property
    def schema(self) -> BlockSchema:
        return BlockSchema.of(
            Column("number", "int64"), Column("image", "float32", (16, 16)), Column("pid", "int64")
        )

    def items(self, inputs: Any) -> Sequence[dict[str, Any]]:
        return [{"id": str(i), "number": i} for i in range(self.settings.items)]

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, Any]]:
        self._befall(item["number"])
        image = np.random.default_rng(self.item_seed(item)).random((16, 16), np.float32)
        yield {"number": item["number"], "image": image, "pid": 0}

    def _befall(self, number: int) -> None:
        told = self.settings
        mark = Path(told.marks, str(number))
        if number in told.deadly or (number in told.killed_once and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number in told.bad:
            raise BadItem(f"{number} is bad", "leave it out")
        if number in told.broken:
            raise ZeroDivisionError("a mistake")


@dataclass(frozen=True, kw_only=True)
class ReportingStage(HarshStage):
    """Says where it ran and with how many threads."""

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, Any]]:
        import cv2

        cv2.GaussianBlur(np.zeros((512, 512), np.float32), (0, 0), 9)
        threads = max(cv2.getNumThreads(), int(os.environ["OMP_NUM_THREADS"]))
        yield {"number": threads, "image": np.zeros((16, 16)), "pid": os.getpid()}


@pytest.fixture(autouse=True)
def importable_by_workers(ray_cluster, monkeypatch):
    """Send this module's classes by value: workers cannot import a test."""
    import ray.cloudpickle

    module = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)


def test_ray_and_one_process_write_the_same_manifest(tmp_path):
    """However many workers, in whatever order they finish: the same bytes."""
    stage = HarshStage(settings=HarshSettings(items=15, bad=(3,)))
    told = []
    metrics = write_stage(stage, {}, tmp_path / "ray", progress=lambda *w: told.append(w))
    write_stage(stage, {}, tmp_path / "here", execute=run_here)
    assert (tmp_path / "ray" / MANIFEST).read_bytes() == (tmp_path / "here" / MANIFEST).read_bytes()
    assert (metrics["rows"], metrics["skipped"], metrics["blocks"]) == (14, 1, 8)
    assert told[0][:2] == (0, 8)
    assert told[-1] == (8, 8, "14 rows, 1 items skipped")


def test_killed_workers_are_replaced_and_a_deadly_item_is_skipped(tmp_path):
    """SIGKILL once: the task runs again. On every attempt: the item is at fault, not the rest."""
    stage = HarshStage(
        settings=HarshSettings(items=8, killed_once=(1, 6), deadly=(4,), marks=str(tmp_path))
    )
    write_stage(stage, {}, tmp_path / "out")
    assert BlockReader(tmp_path / "out").column("number").tolist() == [0, 1, 2, 3, 5, 6, 7]
    (skipped,) = read_manifest(tmp_path / "out").skipped
    assert skipped.id == "4"
    assert "died 3 times" in skipped.message
    assert {f.suffix for f in (tmp_path / "out/blocks").iterdir()} == {".arrow", ".json"}


def test_what_stops_a_worker_reaches_the_user_as_one_message(tmp_path):
    with pytest.raises(StageFailed) as mistake:
        write_stage(HarshStage(settings=HarshSettings(broken=(9,))), {}, tmp_path / "a")
    assert mistake.value.message == "stage harsh: item '9' raised ZeroDivisionError: a mistake"
    assert "test_data_stage_on_ray" in (tmp_path / "a/errors/9.txt").read_text()
    (tmp_path / "c/blocks/00003.arrow").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"blocks/00003\.arrow"):
        write_stage(HarshStage(), {}, tmp_path / "c")
    with pytest.raises(StageFailed, match="of 16 items are bad"):
        write_stage(HarshStage(settings=HarshSettings(bad=tuple(range(16)))), {}, tmp_path / "b")


def test_work_is_spread_and_held_to_one_thread_each(tmp_path):
    stage = ReportingStage(settings=HarshSettings(items=24))
    write_stage(stage, {}, tmp_path)
    reader = BlockReader(tmp_path)
    assert len(set(reader.column("pid"))) >= 2
    assert set(reader.column("number").tolist()) == {1}
