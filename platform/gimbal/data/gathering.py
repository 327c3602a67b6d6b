"""Copy rows from several record batches into one array, with as few and as long copies as can be.

Rows are grouped by batch. Neighbours go as one copy per batch, other large rows one by one (a
memory copy each, no temporary), small ones by a vectorised take.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gimbal.data.arrow import Array

LARGE_ROW_BYTES = 8 << 10
"""From here a copy costs more than the Python that starts it."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that lie in one record batch.

    Attributes:
        batch: Which batch.
        positions: Where each row goes, `[n]` or a run.
        rows: Its number within the batch, `[n]` or a run.
    """

    batch: int
    positions: Index | range
    rows: Index | range

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield `(position, row)`."""
        return zip(_numbers(self.positions), _numbers(self.rows), strict=True)


def _numbers(index: Index | range) -> Iterable[int]:
    return index if isinstance(index, range) else index.tolist()


def spans(rows: Index | range, starts: Sequence[int]) -> list[Span]:
    """Group global row numbers by the batch they lie in.

    Args:
        rows: Global row numbers `[n]`, each within range; a `range` goes up by one.
        starts: First row of each batch and, last, the number of rows `[batches + 1]`.
    """
    if not len(rows):
        return []
    if isinstance(rows, range):
        return list(_runs(rows.start, rows.stop, starts))
    if rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return list(_runs(int(rows[0]), int(rows[-1]) + 1, starts))
    bounds = np.asarray(starts)
    batches = np.searchsorted(bounds, rows, side="right") - 1
    order = np.argsort(batches, kind="stable")
    batches = batches[order]
    local = rows[order] - bounds[batches]
    borders = [0, *(np.flatnonzero(np.diff(batches)) + 1).tolist(), len(rows)]
    return [Span(int(batches[a]), order[a:b], local[a:b]) for a, b in itertools.pairwise(borders)]


def _runs(start: int, stop: int, starts: Sequence[int]) -> Iterator[Span]:
    batch = bisect.bisect_right(starts, start) - 1
    first = start
    while first < stop:
        end = min(stop, starts[batch + 1])
        if end > first:
            rows = range(first - starts[batch], end - starts[batch])
            yield Span(batch, range(first - start, end - start), rows)
        first, batch = end, batch + 1


def gather(source: Array, span: Span, target: Array) -> None:
    """Copy a span's rows from its batch `[m, *shape]` to their places in `[n, *shape]`."""
    positions, rows = span.positions, span.rows
    if isinstance(positions, range) and isinstance(rows, range):
        target[positions.start : positions.stop] = source[rows.start : rows.stop]
    elif source[:1].nbytes >= LARGE_ROW_BYTES:
        for position, row in span.pairs():
            target[position] = source[row]
    elif positions[-1] - positions[0] == len(positions) - 1:
        part = target[positions[0] : positions[-1] + 1]
        np.take(source, rows, axis=0, out=part, mode="clip")
    else:
        target[positions] = source[rows]
