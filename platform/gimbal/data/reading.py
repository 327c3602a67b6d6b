"""Random access to a finished stage's rows, memory-mapped.

Rows have a global index over all blocks. Opening reads only the manifest; a block is mapped when a
row of it is first asked for, and its file handle closed again at once, so the number of blocks is
bounded by nothing. Single rows and slices inside one record batch are views on the mapped file;
`fetch` gathers any rows into memory the caller owns.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from gimbal.data.arrow import Array, RaggedView, TextView, view
from gimbal.data.gathering import Span, gather, spans
from gimbal.data.records import read_manifest
from gimbal.data.schema import Column
from gimbal.data.tensors import allocate
from gimbal.data.verifying import REBUILD, CorruptBlock

Rows = dict[str, Any]
"""Column name → array `[n, *shape]`; a list where the rows have no common shape or are text."""


class BlockReader:
    """The rows of a finished data stage. Cheap to open and to pickle; it reopens in the worker.

    What it hands out as views is read-only, and its memory is the file: writing into a tensor made
    from it would end the process. `fetch` gives memory of its own.

    Args:
        stage_dir: A folder that `write_stage` finished.

    Raises:
        StorageError: If there is no manifest, or it is damaged.
    """

    def __init__(self, stage_dir: str | Path) -> None:
        self.stage_dir = Path(stage_dir).absolute()  # workers have another working folder
        self.manifest = read_manifest(self.stage_dir)
        self.schema = self.manifest.block_schema
        self._columns = {column.name: column for column in self.schema}
        self._place = [
            (block, batch)
            for block, entry in enumerate(self.manifest.blocks)
            for batch in range(len(entry.batches))
        ]
        lengths = [n for entry in self.manifest.blocks for n in entry.batches]
        self._starts = [0, *itertools.accumulate(lengths)]
        self._mapped: dict[int, list[pa.RecordBatch]] = {}
        self._views: dict[tuple[int, str], Array | RaggedView | TextView] = {}

    def __reduce__(self) -> tuple[type[BlockReader], tuple[Path]]:
        return type(self), (self.stage_dir,)

    def __len__(self) -> int:
        return self.manifest.rows

    @property
    def fingerprint(self) -> str:
        """Hash of the rows."""
        return self.manifest.fingerprint

    def __getitem__(self, index: SupportsIndex | slice) -> Rows:
        """Return one row, or the rows of a slice stacked.

        Numbers are views on the file for one row, and for a slice that lies in one record batch.

        Raises:
            IndexError: If the row is not there.
            CorruptBlock: If its block is damaged.
        """
        if isinstance(index, slice):
            return self._slice(range(*index.indices(len(self))))
        wanted = operator.index(index)
        row = wanted + len(self) if wanted < 0 else wanted
        if not 0 <= row < len(self):
            raise IndexError(f"row {wanted} of {len(self)} rows in {self.stage_dir}")
        batch, local = self._locate(row)
        return {name: self._view(batch, name)[local] for name in self._columns}

    def _locate(self, row: int) -> tuple[int, int]:
        """Return the batch of a row and its number in it."""
        batch = bisect.bisect_right(self._starts, row) - 1
        return batch, row - self._starts[batch]

    def _slice(self, rows: range) -> Rows:
        if not rows:
            return self.fetch(rows)
        (batch, first), (other, last) = self._locate(rows[0]), self._locate(rows[-1])
        if batch != other or rows.step < 0:
            return self.fetch(rows)
        local = range(first, last + 1, rows.step)
        return {name: _part(self._view(batch, name), local) for name in self._columns}

    def column(self, name: str) -> Any:
        """Return a whole column, stacked; a list where its rows have no common shape.

        Raises:
            KeyError: If there is no such column.
            CorruptBlock: If a block is damaged.
        """
        return self.fetch(range(len(self)), [name])[name]

    def empty(
        self, rows: int, columns: Iterable[str] | None = None, *, pinned: bool = False
    ) -> dict[str, Array]:
        """Make arrays for `fetch` to fill again and again.

        Args:
            rows: Rows of a batch.
            columns: Which columns; none: every one of fixed shape.
            pinned: Page-locked for fast copies to a GPU, where there is one.
        """
        fixed = [c.name for c in self.schema if c.is_numeric and not c.is_ragged]
        return {
            name: allocate(rows, self.schema[name], pinned=pinned)
            for name in (fixed if columns is None else columns)
        }

    def fetch(
        self,
        indices: ArrayLike | range,
        columns: Iterable[str] | None = None,
        *,
        out: Mapping[str, Array] | None = None,
    ) -> Rows:
        """Gather rows across blocks.

        Args:
            indices: Global row numbers `[n]`, in any order, repeated or negative.
            columns: Which columns; none: all.
            out: Arrays `[≥ n, *shape]` to fill, as made by `empty`; a column that is not in it
                gets a new array.

        Returns:
            For each column `[n, *shape]`, or a list of n where the rows have no common shape.

        Raises:
            IndexError: If a row is not there, or `indices` are not whole numbers.
            KeyError: If there is no such column.
            CorruptBlock: If a block is damaged.
        """
        rows = self._global_rows(indices)
        plan = spans(rows, self._starts)
        out = out or {}
        return {
            name: self._fetch_column(self.schema[name], plan, len(rows), out.get(name))
            for name in (self._columns if columns is None else columns)
        }

    def _fetch_column(
        self, column: Column, plan: Sequence[Span], rows: int, out: Array | None
    ) -> Array | list[Any]:
        if column.is_numeric and not column.is_ragged:
            target = allocate(rows, column) if out is None else out[:rows]
            for span in plan:
                gather(self._view(span.batch, column.name), span, target)
            return target
        found: list[Any] = [None] * rows
        for span in plan:
            source = self._view(span.batch, column.name)
            for position, local in span.pairs():
                found[position] = source[local]
        return found

    def _global_rows(self, indices: ArrayLike | range) -> NDArray[np.int64] | range:
        """Return the rows counted from the front; a plain run stays a range."""
        size = len(self)
        if isinstance(indices, range):
            if indices.step == 1 and 0 <= indices.start < indices.stop <= size:
                return indices
            asked = np.arange(indices.start, indices.stop, indices.step)
        else:
            asked = np.asarray(indices)
        if asked.ndim != 1 or (asked.size and asked.dtype.kind not in "iu"):
            raise IndexError(
                f"fetch wants a list of whole numbers, not {asked.dtype} {asked.shape}"
            )
        rows = asked.astype(np.int64)
        rows[rows < 0] += size
        if rows.size and (rows.min() < 0 or rows.max() >= size):
            wrong = asked[(rows < 0) | (rows >= size)][0]
            raise IndexError(f"row {wrong} of {size} rows in {self.stage_dir}")
        return rows

    def _view(self, batch: int, name: str) -> Any:
        found = self._views.get((batch, name))
        if found is None:
            block, number = self._place[batch]
            if block not in self._mapped:
                self._mapped[block] = self._map(block)
            found = view(self._columns[name], self._mapped[block][number].column(name))
            self._views[batch, name] = found
        return found

    def _map(self, block: int) -> list[pa.RecordBatch]:
        """Map a block; its batches keep the mapping alive after the file is closed."""
        entry = self.manifest.blocks[block]
        path = self.stage_dir / entry.file
        try:
            size = path.stat().st_size
            if size != entry.size_bytes:
                problem = f"it has {size} bytes, {entry.size_bytes} were written"
                raise CorruptBlock(f"{path} is damaged: {problem}", REBUILD)
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
                return [file.get_batch(i) for i in range(len(entry.batches))]
        except FileNotFoundError as error:
            raise CorruptBlock(f"{path} is missing", REBUILD) from error
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise CorruptBlock(f"{path} cannot be read: {reason}", REBUILD) from error


def _part(source: Any, local: range) -> Any:
    if isinstance(source, np.ndarray):
        return source[local.start : local.stop : local.step]
    return [source[i] for i in local]
