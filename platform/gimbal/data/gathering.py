"""Copy rows from several record batches into one array, with as few and as long copies as can be.

Rows are grouped by batch. Runs of neighbours go as one copy, large rows one by one (a memory copy
each, no temporary), small ones by a vectorised take.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        positions: Where each row goes `[n]`.
        rows: Its number within the batch `[n]`.
    """

    batch: int
    positions: Index
    rows: Index

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield `(position, row)`."""
        return zip(self.positions.tolist(), self.rows.tolist(), strict=True)

    @property
    def is_run(self) -> bool:
        """Whether neighbours go to neighbouring places."""
        n = len(self.rows) - 1
        return bool(
            self.rows[-1] - self.rows[0] == n == self.positions[-1] - self.positions[0]
            and np.all(np.diff(self.rows) == 1)
            and np.all(np.diff(self.positions) == 1)
        )


def spans(rows: Index, starts: Index) -> list[Span]:
    """Group global row numbers by the batch they lie in.

    Args:
        rows: Global row numbers `[n]`, each within range.
        starts: First row of each batch and, last, the number of rows `[batches + 1]`.
    """
    if not len(rows):
        return []
    batches = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(batches, kind="stable")
    borders = np.flatnonzero(np.diff(batches[order])) + 1
    return [
        Span(int(batches[part[0]]), part, rows[part] - starts[batches[part[0]]])
        for part in np.split(order, borders)
    ]


def gather(source: Array, span: Span, target: Array) -> None:
    """Copy a span's rows from its batch `[m, *shape]` to their places in `[n, *shape]`."""
    positions, rows = span.positions, span.rows
    if span.is_run:
        first = positions[0]
        target[first : first + len(rows)] = source[rows[0] : rows[0] + len(rows)]
    elif source[:1].nbytes >= LARGE_ROW_BYTES:
        for position, row in span.pairs():
            target[position] = source[row]
    elif positions[-1] - positions[0] == len(positions) - 1:
        part = target[positions[0] : positions[-1] + 1]
        np.take(source, rows, axis=0, out=part, mode="clip")
    else:
        target[positions] = source[rows]
