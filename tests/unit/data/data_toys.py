"""A small data stage that can be told to misbehave, shared by the tests of `gimbal.data`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.data import BadItem, BlockSchema, Column, DataStage
from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.experiment.settings import Settings

ROWS_PER_ITEM = 3


class ToySettings(Settings):
    """What goes wrong, by item number."""

    items: int = 10
    bad: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    log: str = ""
    """File to which every item that is computed appends its id."""


@dataclass(frozen=True, kw_only=True)
class ToyStage(DataStage):
    """Three rows an item, of every kind of column."""

    name: str = "toy"
    settings: ToySettings = field(default_factory=ToySettings)
    max_bad_share: float = 0.5

    @property
    def schema(self) -> BlockSchema:
        return BlockSchema.of(
            Column("id", "string"),
            Column("image", "float32", (4, 6), unit="m", frame="camera (OpenCV)"),
            Column("code", "uint8", (5,)),
            Column("hit", "bool", (3,)),
            Column("half", "float16", (2, 2)),
            Column("number", "int64"),
            Column("points", "float32", (None, 3), unit="m"),
            Column("blob", "bytes"),
        )

    def items(self, inputs: Any) -> Sequence[dict[str, Any]]:
        return [{"id": f"item-{i}", "number": i} for i in range(self.settings.items)]

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, Any]]:
        number = item["number"]
        if self.settings.log:
            with Path(self.settings.log).open("a") as log:
                log.write(f"{item['id']}\n")
        if number in self.settings.broken:
            raise ZeroDivisionError("a mistake\nwith a second line")
        for part in range(ROWS_PER_ITEM):
            if part and number in self.settings.bad:
                raise BadItem(f"{item['id']} is degenerate", "remove it")
            yield toy_row(self.item_seed(item) + part, number)


def toy_row(seed: int, number: int) -> dict[str, Any]:
    """A row that depends on the seed only."""
    random = np.random.default_rng(seed)
    return {
        "id": f"{number}/{seed}",
        "image": random.standard_normal((4, 6), np.float32),
        "code": random.integers(0, 256, 5, np.uint8),
        "hit": random.random(3) > 0.5,
        "half": random.random((2, 2)).astype(np.float16),
        "number": number,
        "points": random.random((number + 1, 3)),
        "blob": random.bytes(4),
    }


def expected_rows(stage: ToyStage) -> list[dict[str, Any]]:
    """Every row of the good items, in order, straight from the workload."""
    return [
        row
        for item in stage.items({})
        if item["number"] not in stage.settings.bad
        for row in stage.rows(item, {})
    ]


def write_here(stage: DataStage, folder: Path, **options: Any) -> dict[str, Any]:
    """Run a stage in this process, without Ray."""
    return write_stage(stage, {}, folder, execute=run_here, **options)
