"""Read a data set that no disk holds, block by block from any file system Arrow knows.

The order of rows is a function of the manifest, the seed and the epoch only: blocks are shuffled,
gathered into windows, and rows shuffled within their window. Worker `r` of `w` takes rows `r`,
`r + w`, … of that one order, so a training run does not change with the number of workers. The
price is that every worker reads every block. A set that fits a disk is better mapped:
`gimbal.data.reading`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from gimbal.data.arrow import view
from gimbal.data.records import MANIFEST, Block, Manifest, parse_manifest
from gimbal.data.verifying import REBUILD, CorruptBlock
from gimbal.errors import ConfigError, StorageError

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BlockStream:
    """An order of all rows that can be iterated again and again; see `stream`."""

    uri: str
    manifest: Manifest
    columns: tuple[str, ...]
    seed: int
    epoch: int
    window_rows: int
    rank: int = 0
    world: int = 1

    def shard(self, rank: int, world: int) -> BlockStream:
        """Return worker `rank`'s rows of `world` workers.

        Raises:
            ConfigError: If there is no such worker.
        """
        if not 0 <= rank < world:
            raise ConfigError(f"there is no worker {rank} of {world}", "count from 0")
        return replace(self, rank=rank, world=world)

    def at_epoch(self, epoch: int) -> BlockStream:
        """Return the same rows in another epoch's order."""
        return replace(self, epoch=epoch)

    def __len__(self) -> int:
        return len(range(self.rank, self.manifest.rows, self.world))

    def __iter__(self) -> Iterator[Row]:
        """Yield rows, reading the next window in the background.

        Raises:
            CorruptBlock: If a block is missing or damaged.
        """
        windows = self._windows()
        passed = 0
        with ThreadPoolExecutor(1) as background:
            upcoming = background.submit(self._load, windows[0])
            for number, window in enumerate(windows):
                rows = upcoming.result()
                if number + 1 < len(windows):
                    upcoming = background.submit(self._load, windows[number + 1])
                order = self._random(1 + number).permutation(sum(b.rows for b in window))
                for position in range((self.rank - passed) % self.world, len(order), self.world):
                    yield rows[order[position]]
                passed += len(order)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, *key])

    def _windows(self) -> list[list[Block]]:
        """Group the shuffled blocks until each group holds `window_rows` rows."""
        blocks = [block for block in self.manifest.blocks if block.rows]
        windows: list[list[Block]] = [[]]
        for index in self._random(0).permutation(len(blocks)):
            if sum(block.rows for block in windows[-1]) >= self.window_rows:
                windows.append([])
            windows[-1].append(blocks[index])
        return windows

    def _load(self, window: list[Block]) -> _Window:
        filesystem, root = _open(self.uri)
        schema = self.manifest.block_schema
        batches = []
        for block in window:
            batches += _read_block(filesystem, f"{root}/{block.file}", block, self.columns)
        return _Window(
            [{n: view(schema[n], b.column(n)) for n in self.columns} for b in batches],
            np.concatenate([[0], np.cumsum([b.num_rows for b in batches])]),
        )


class _Window:
    """Rows of some blocks in memory."""

    def __init__(self, views: list[dict[str, Any]], starts: np.ndarray[Any, Any]) -> None:
        self._views = views
        self._starts = starts

    def __getitem__(self, row: int) -> Row:
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        local = int(row - self._starts[batch])
        return {name: source[local] for name, source in self._views[batch].items()}


def stream(
    stage_dir: str | Path,
    *,
    columns: tuple[str, ...] | None = None,
    seed: int = 0,
    epoch: int = 0,
    window_rows: int = 4096,
) -> BlockStream:
    """Stream a finished stage's rows in a shuffled order.

    Args:
        stage_dir: A folder, or the URI of one such as `s3://bucket/stage`.
        columns: Which columns; none: all. Others are not read.
        seed: Of the order.
        epoch: Of the order; each epoch has its own.
        window_rows: Rows shuffled together. Two windows are in memory, so it bounds memory.

    Raises:
        StorageError: If there is no manifest, or it is damaged.
        KeyError: If there is no such column.
    """
    uri = str(stage_dir) if "://" in str(stage_dir) else Path(stage_dir).absolute().as_uri()
    filesystem, root = _open(uri)
    try:
        with filesystem.open_input_stream(f"{root}/{MANIFEST}") as file:
            content = json.loads(file.readall())
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{uri} has no readable {MANIFEST}: {str(error).splitlines()[0]}",
            "name the folder of a finished data stage",
        ) from error
    manifest = parse_manifest(content, f"{uri}/{MANIFEST}")
    schema = manifest.block_schema
    names = schema.names if columns is None else tuple(schema[name].name for name in columns)
    return BlockStream(
        uri=uri, manifest=manifest, columns=names, seed=seed, epoch=epoch, window_rows=window_rows
    )


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{uri} cannot be opened: {error}", "check the address") from error
    return filesystem, path.rstrip("/")


def _read_block(
    filesystem: fs.FileSystem, path: str, block: Block, columns: tuple[str, ...]
) -> list[pa.RecordBatch]:
    try:
        with filesystem.open_input_file(path) as source:
            if source.size() != block.size_bytes:
                problem = f"it has {source.size()} bytes, {block.size_bytes} were written"
                raise CorruptBlock(f"{path} is damaged: {problem}", REBUILD)
            schema = pa.ipc.open_file(source).schema
            fields = [schema.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=fields)
            file = pa.ipc.open_file(source, options=options)
            return [file.get_batch(i) for i in range(file.num_record_batches)]
    except FileNotFoundError as error:
        raise CorruptBlock(f"{path} is missing", REBUILD) from error
    except (OSError, pa.ArrowException) as error:
        raise CorruptBlock(
            f"{path} cannot be read: {str(error).splitlines()[0]}", REBUILD
        ) from error
