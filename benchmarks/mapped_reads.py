"""Reading rows from finished blocks against plain pyarrow on the very same files.

Images of 252 × 1008 × 3 bytes (a camera's cylinder) in 16 blocks. The peer maps the files with
`pyarrow.memory_map`, joins them to one table and uses `take` and `slice`; both end in one numpy
array per batch, ready for torch. Rounds alternate and the median counts; pages are in memory.

    python benchmarks/mapped_reads.py [--images 800] [--batch 32]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gimbal.data import BlockSchema, Column, DataStage
from gimbal.data.building import run_here
from gimbal.data.reading import BlockReader
from gimbal.data.writing import write_stage
from gimbal.experiment.settings import Settings

SHAPE = (252, 1008, 3)
Read = Callable[[Sequence[int]], np.ndarray]


class Images(Settings):
    """How many."""

    images: int


@dataclass(frozen=True, kw_only=True)
class ImageStage(DataStage):
    """Random images, 25 an item."""

    settings: Images

    @property
    def schema(self) -> BlockSchema:
        """An image and a number."""
        return BlockSchema.of(Column("image", "uint8", SHAPE), Column("label", "int64"))

    def items(self, inputs: Any) -> Sequence[dict[str, Any]]:
        """Runs of 25 images."""
        return [{"id": str(start), "start": start} for start in range(0, self.settings.images, 25)]

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, Any]]:
        """Noise."""
        random = np.random.default_rng(item["start"])
        for label in range(item["start"], min(item["start"] + 25, self.settings.images)):
            yield {"image": random.integers(0, 256, SHAPE, np.uint8), "label": label}


def plain_table(folder: Path) -> pa.Table:
    """Map every block and join them, as one would by hand."""
    files = sorted((folder / "blocks").glob("*.arrow"))
    return pa.concat_tables(pa.ipc.open_file(pa.memory_map(str(f))).read_all() for f in files)


def joined(column: pa.ChunkedArray) -> np.ndarray:
    """One array of a column that may have several chunks."""
    return column.combine_chunks().to_numpy_ndarray()


def measure(
    readers: dict[str, Read], batches: Sequence[Sequence[int]], rounds: int
) -> dict[str, float]:
    """Images per second of each reader: alternating rounds, the median counts."""
    speeds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds + 1):
        for name, read in readers.items():
            started = time.perf_counter()
            for batch in batches:
                read(batch)
            speeds[name].append(sum(map(len, batches)) / (time.perf_counter() - started))
    return {name: statistics.median(found[1:]) for name, found in speeds.items()}


def cases(
    folder: Path, images: int, size: int
) -> dict[str, tuple[dict[str, Read], list[Sequence[int]]]]:
    """Name → what reads, and the batches to read."""
    table, reader = plain_table(folder), BlockReader(folder)
    buffers = reader.empty(size, ["image"])
    order = np.random.default_rng(0).permutation(images)
    shuffled = [order[i : i + size] for i in range(0, images - size + 1, size)]
    runs = [range(i, i + size) for i in range(0, images - size + 1, size)]
    gather: dict[str, Read] = {
        "pyarrow": lambda rows: joined(table.take(rows)["image"]),
        "gimbal": lambda rows: reader.fetch(rows, ["image"])["image"],
        "gimbal, own buffer": lambda rows: reader.fetch(rows, ["image"], out=buffers)["image"],
    }
    scan: dict[str, Read] = {
        **gather,
        "pyarrow": lambda rows: np.array(joined(table.slice(rows[0], len(rows))["image"])),
    }
    views: dict[str, Read] = {
        "pyarrow": lambda rows: [table["image"][int(i)].to_numpy() for i in rows][0],
        "gimbal": lambda rows: [reader[i]["image"] for i in rows][0],
    }
    check = shuffled[0]
    assert np.array_equal(gather["pyarrow"](check), gather["gimbal"](check))
    return {
        "random batches": (gather, shuffled),
        "sequential batches": (scan, runs),
        "single rows, no copy": (views, shuffled),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        stage = ImageStage(name="images", settings=Images(images=asked.images), items_per_block=2)
        write_stage(stage, {}, scratch, execute=run_here)
        result = {}
        for name, (readers, batches) in cases(Path(scratch), asked.images, asked.batch).items():
            speeds = measure(readers, batches, asked.rounds)
            ratio = speeds["gimbal"] / speeds["pyarrow"]
            result[name] = {"images_per_s": speeds, "ratio": round(ratio, 2)}
            for reader, speed in speeds.items():
                print(f"{name:<22} {reader:<20} {speed:>12,.0f} images/s")
            print(f"{'':<22} {'gimbal / pyarrow':<20} {ratio:>12.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
