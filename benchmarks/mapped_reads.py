"""Reading rows from finished blocks against plain pyarrow on the very same files.

Images of 252 × 1008 × 3 bytes (a camera's cylinder), and small rows of 64 floats that show what a
row costs beyond copying. The peer maps the files with `pyarrow.memory_map`, joins them to one table
and uses `take`, `slice` or single rows; all end in one numpy array per batch, ready for torch, and
the best of them is the peer. Pages are in memory, so CPU seconds are counted, which a busy machine
disturbs little; rounds alternate and the median counts.

    python benchmarks/mapped_reads.py [--images 800] [--batch 32]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

IMAGE = Column("x", "uint8", (252, 1008, 3))
SMALL = Column("x", "float32", (64,))
SMALL_ROWS, SMALL_BATCH, BLOCKS = 40_000, 1024, 16
Read = Callable[[Sequence[int]], Any]
Readers = dict[str, Read]
Batches = list[Sequence[int]]


class NoiseSettings(Settings):
    """How many rows."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class NoiseStage(DataStage):
    """Noise, in sixteen blocks."""

    settings: NoiseSettings
    column: Column
    items_per_block: int = 1

    @property
    def schema(self) -> BlockSchema:
        """One tensor."""
        return BlockSchema.of(self.column)

    def items(self, inputs: Any) -> Sequence[dict[str, Any]]:
        """One item a block."""
        return [{"id": str(number), "number": number} for number in range(BLOCKS)]

    def rows(self, item: Mapping[str, Any], inputs: Any) -> Iterator[dict[str, Any]]:
        """An equal share of the rows."""
        random = np.random.default_rng(item["number"])
        for _ in range(self.settings.rows // BLOCKS):
            noise = random.integers(0, 256, self.column.fixed_shape, np.uint8)
            yield {"x": noise.astype(self.column.dtype)}


def plain_table(folder: Path) -> pa.Table:
    """Map every block and join them, as one would by hand."""
    files = sorted((folder / "blocks").glob("*.arrow"))
    return pa.concat_tables(pa.ipc.open_file(pa.memory_map(str(f))).read_all() for f in files)


def taken(table: pa.Table, rows: Sequence[int]) -> np.ndarray:
    """Gather with Arrow's own kernel."""
    return table.take(rows)["x"].combine_chunks().to_numpy_ndarray()


def stacked(table: pa.Table, rows: Sequence[int]) -> np.ndarray:
    """Gather by looking at row after row: more words, but each row is copied only once."""
    column = table["x"]
    return np.stack([column[int(i)].to_numpy() for i in rows])


def sliced(table: pa.Table, rows: Sequence[int]) -> np.ndarray:
    """Copy neighbours, chunk by chunk."""
    chunks = table.slice(rows[0], len(rows))["x"].chunks
    return np.concatenate([chunk.to_numpy_ndarray() for chunk in chunks])


def touch(rows: Iterable[np.ndarray]) -> float:
    """Look at one number of each row, so that a view costs what it costs."""
    return sum(float(row.flat[0]) for row in rows)


def cases(folder: Path, rows: int, size: int) -> dict[str, tuple[Readers, Batches]]:
    """Name → what reads, and the batches to read."""
    table, reader = plain_table(folder), BlockReader(folder)
    buffers = reader.empty(size)
    order = np.random.default_rng(0).permutation(rows)
    shuffled: Batches = [order[i : i + size] for i in range(0, rows - size + 1, size)]
    runs: Batches = [range(i, i + size) for i in range(0, rows - size + 1, size)]
    ours: Readers = {
        "gimbal": lambda batch: reader.fetch(batch)["x"],
        "gimbal, own buffer": lambda batch: reader.fetch(batch, out=buffers)["x"],
    }
    gather: Readers = {
        "pyarrow take": lambda batch: taken(table, batch),
        "pyarrow row by row": lambda batch: stacked(table, batch),
        **ours,
    }
    scan: Readers = {"pyarrow slice": lambda batch: sliced(table, batch), **ours}
    views: Readers = {
        "pyarrow row by row": lambda batch: touch(table["x"][int(i)].to_numpy() for i in batch),
        "gimbal": lambda batch: touch(reader[int(i)]["x"] for i in batch),
    }
    for readers, batch in ((gather, shuffled[0]), (scan, runs[1])):
        first, *others = (read(batch) for read in readers.values())
        assert all(np.array_equal(first, other) for other in others)
    return {
        "random": (gather, shuffled),
        "in order": (scan, runs),
        "one, no copy": (views, shuffled),
    }


def measure(readers: Readers, batches: Batches, rounds: int) -> dict[str, float]:
    """Rows per CPU second of each reader: alternating rounds, the median counts."""
    speeds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds + 1):
        for name, read in readers.items():
            started = time.process_time()
            for batch in batches:
                read(batch)
            speeds[name].append(sum(map(len, batches)) / (time.process_time() - started))
    return {name: statistics.median(found[1:]) for name, found in speeds.items()}


def compare(column: Column, rows: int, size: int, rounds: int) -> dict[str, Any]:
    """Write a set, read it every way and print the table."""
    result = {}
    with tempfile.TemporaryDirectory() as scratch:
        stage = NoiseStage(name="noise", settings=NoiseSettings(rows=rows), column=column)
        write_stage(stage, {}, scratch, execute=run_here)
        for name, (readers, batches) in cases(Path(scratch), rows, size).items():
            speeds = measure(readers, batches, rounds)
            best = max(speed for reader, speed in speeds.items() if "pyarrow" in reader)
            ratio = speeds["gimbal"] / best
            result[name] = {"rows_per_cpu_s": speeds, "ratio": round(ratio, 2)}
            for reader, speed in speeds.items():
                print(f"{name:<14} {reader:<22} {speed:>12,.0f} rows/s")
            print(f"{'':<14} {'gimbal / best pyarrow':<22} {ratio:>12.2f}\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    images = asked.images // BLOCKS * BLOCKS
    print(f"{images} images of {IMAGE.row_size / 1e6:.2f} MB in batches of {asked.batch}\n")
    result = {"images": compare(IMAGE, images, asked.batch, asked.rounds)}
    print(f"{SMALL_ROWS} rows of {SMALL.row_size * 4} bytes in batches of {SMALL_BATCH}\n")
    result["small_rows"] = compare(SMALL, SMALL_ROWS, SMALL_BATCH, asked.rounds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
