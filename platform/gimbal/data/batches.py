"""Collect rows into record batches.

Rows are copied once, straight into one growing array per column, so a workload may reuse its
arrays, the batch needs no second copy, and a bad item's rows are dropped by moving a counter back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gimbal.data.arrow import arrow_schema, fixed_array, ragged_array, text_array
from gimbal.data.schema import BlockSchema, Column
from gimbal.data.statistics import ColumnStatistics, measure, merge

FIRST_CAPACITY = 4


class RowError(ValueError):
    """A row does not fit the schema: a mistake in the workload."""


class BatchBuilder:
    """Rows in memory that become record batches.

    Args:
        schema: What every row holds.
    """

    def __init__(self, schema: BlockSchema) -> None:
        self.schema = schema
        self.arrow = arrow_schema(schema)
        self.rows = 0
        self._names = frozenset(schema.names)
        self._buffers: dict[str, _FixedBuffer | _ListBuffer] = {
            column.name: _buffer(column) for column in schema
        }

    def append(self, row: Mapping[str, Any]) -> None:
        """Copy a row in.

        Raises:
            RowError: If a column is missing or unknown, or has another type or shape.
        """
        if row.keys() != self._names:
            missing, unknown = self._names - row.keys(), row.keys() - self._names
            raise RowError(
                f"missing columns {sorted(missing)}, columns not in the schema {sorted(unknown)}"
            )
        for name, buffer in self._buffers.items():
            buffer.put(self.rows, row[name])
        self.rows += 1

    def drop_after(self, rows: int) -> None:
        """Forget the rows from number `rows` on."""
        self.rows = rows

    @property
    def nbytes(self) -> int:
        """Bytes of the rows held."""
        return sum(buffer.nbytes(self.rows) for buffer in self._buffers.values())

    def batch(self) -> pa.RecordBatch:
        """Return the rows held, sharing memory with this builder until `clear`."""
        arrays = [buffer.arrow(self.rows) for buffer in self._buffers.values()]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow)

    def statistics(self) -> dict[str, ColumnStatistics]:
        """Measure each numeric column of the rows held."""
        return {
            column.name: self._buffers[column.name].measure(self.rows)
            for column in self.schema
            if column.is_numeric
        }

    def clear(self) -> None:
        """Forget all rows; the memory is used again."""
        self.rows = 0


def _buffer(column: Column) -> _FixedBuffer | _ListBuffer:
    return (
        _FixedBuffer(column) if column.is_numeric and not column.is_ragged else _ListBuffer(column)
    )


class _FixedBuffer:
    """`[capacity, *shape]`, doubled when full."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._values = self._empty(FIRST_CAPACITY)

    def _empty(self, capacity: int) -> NDArray[Any]:
        return np.empty((capacity, *self.column.fixed_shape), self.column.dtype)

    def put(self, index: int, value: Any) -> None:
        array = _checked(self.column, value)
        if index == len(self._values):
            grown = self._empty(2 * index)
            grown[:index] = self._values
            self._values = grown
        self._values[index] = array

    def nbytes(self, rows: int) -> int:
        return self._values[:rows].nbytes

    def arrow(self, rows: int) -> pa.Array:
        return fixed_array(self.column, self._values[:rows])

    def measure(self, rows: int) -> ColumnStatistics:
        return measure(self._values[:rows])


class _ListBuffer:
    """Rows that have no common shape: ragged arrays and texts."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._values: list[Any] = []

    def put(self, index: int, value: Any) -> None:
        del self._values[index:]
        column = self.column
        if column.is_numeric:
            self._values.append(np.array(_checked(column, value), column.dtype))
        elif isinstance(value, str if column.dtype == "string" else bytes):
            self._values.append(value)
        else:
            raise RowError(f"column {column.name!r} wants {column.dtype}, not {type(value)}")

    def nbytes(self, rows: int) -> int:
        held = self._values[:rows]
        return sum(v.nbytes if isinstance(v, np.ndarray) else len(v) for v in held)

    def arrow(self, rows: int) -> pa.Array:
        make = ragged_array if self.column.is_numeric else text_array
        return make(self.column, self._values[:rows])

    def measure(self, rows: int) -> ColumnStatistics:
        return merge(measure(value) for value in self._values[:rows])


def _checked(column: Column, value: Any) -> NDArray[Any]:
    """Return the value as an array of the column's type, if nothing but rounding is lost."""
    array = np.asarray(value)
    wanted = column.shape
    if array.ndim != len(wanted) or any(
        size not in (None, got) for size, got in zip(wanted, array.shape, strict=True)
    ):
        raise RowError(f"column {column.name!r} wants the shape {wanted}, not {array.shape}")
    if array.dtype == column.dtype:
        return array
    return _cast(column, array)


def _cast(column: Column, array: NDArray[Any]) -> NDArray[Any]:
    target = np.dtype(column.dtype)
    between_integers = array.dtype.kind in "iu" and target.kind in "iu"
    if not between_integers and not np.can_cast(array.dtype, target, "same_kind"):
        raise RowError(f"column {column.name!r} wants {column.dtype}, not {array.dtype}")
    try:
        with np.errstate(over="raise"):
            cast = array.astype(target)
    except FloatingPointError:
        cast = None
    if cast is None or (between_integers and not np.array_equal(cast, array)):
        raise RowError(f"column {column.name!r}: a number does not fit {column.dtype}")
    return cast
