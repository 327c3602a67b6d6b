"""Between numpy and Arrow: types, record batches, and views into a mapped batch.

A fixed-shape column is Arrow's canonical `fixed_shape_tensor`, so any Arrow reader understands it;
a ragged one is `struct<data: large_list<T>, shape: list<int32>>`. Reading makes numpy views on the
batch's own buffers: nothing is decoded and nothing copied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gimbal.data.schema import BlockSchema, Column

Array = NDArray[Any]


def arrow_schema(schema: BlockSchema) -> pa.Schema:
    """Translate a schema; unit, frame and description go into each field's metadata."""
    return pa.schema([_field(column) for column in schema])


def _field(column: Column) -> pa.Field:
    metadata = {
        "unit": column.unit,
        "frame": column.frame,
        "description": column.description,
        "dtype": column.dtype,
        "shape": json.dumps(column.shape),
    }
    return pa.field(column.name, _arrow_type(column), nullable=False, metadata=metadata)


def _arrow_type(column: Column) -> pa.DataType:
    if column.dtype == "string":
        return pa.large_string()
    if column.dtype == "bytes":
        return pa.large_binary()
    value = pa.from_numpy_dtype(column.storage_dtype)
    if not column.shape:
        return value
    if column.is_ragged:
        return pa.struct({"data": pa.large_list(value), "shape": pa.list_(pa.int32())})
    return pa.fixed_shape_tensor(value, column.fixed_shape)


def fixed_array(column: Column, values: Array) -> pa.Array:
    """Wrap `[n, *shape]` without copying."""
    flat = values.view(column.storage_dtype).reshape(-1)
    numbers = pa.Array.from_buffers(
        pa.from_numpy_dtype(column.storage_dtype), flat.size, [None, pa.py_buffer(flat)]
    )
    if not column.shape:
        return numbers
    storage = pa.FixedSizeListArray.from_arrays(numbers, column.row_size)
    return pa.ExtensionArray.from_storage(_arrow_type(column), storage)


def ragged_array(column: Column, rows: Sequence[Array]) -> pa.Array:
    """Join arrays that differ in shape."""
    value = pa.from_numpy_dtype(column.storage_dtype)
    rank = len(column.shape)
    flat = np.concatenate([np.empty(0, column.dtype), *(row.reshape(-1) for row in rows)])
    offsets = np.concatenate([[0], np.cumsum([row.size for row in rows], dtype=np.int64)])
    shapes = np.array([row.shape for row in rows], np.int32).reshape(-1)
    numbers = pa.array(flat.view(column.storage_dtype), type=value)
    data = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), numbers)
    ends = np.arange(0, rank * len(rows) + 1, rank, dtype=np.int32)
    shape = pa.ListArray.from_arrays(pa.array(ends), pa.array(shapes))
    return pa.StructArray.from_arrays([data, shape], fields=list(_arrow_type(column)))


def text_array(column: Column, rows: Sequence[Any]) -> pa.Array:
    """Make a string or bytes column."""
    return pa.array(rows, type=_arrow_type(column))


class RaggedView:
    """Rows of a ragged column of one batch: each a view on the mapped file."""

    def __init__(self, column: Column, array: pa.StructArray) -> None:
        data, shape = array.field("data"), array.field("shape")
        self._offsets = np.frombuffer(data.buffers()[1], np.int64)
        self._shapes = _primitive(shape.values, "int32").reshape(-1, len(column.shape))
        self._flat = _primitive(data.values, column.storage_dtype).view(column.dtype)

    def __getitem__(self, row: int) -> Array:
        start, end = self._offsets[row : row + 2]
        return self._flat[start:end].reshape(self._shapes[row])


class TextView:
    """Rows of a string or bytes column of one batch."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __getitem__(self, row: int) -> str | bytes:
        value: str | bytes = self._array[row].as_py()
        return value


def view(column: Column, array: pa.Array) -> Array | RaggedView | TextView:
    """Look into a column of a whole record batch, zero-copy where it holds numbers.

    Returns:
        Read-only `[n, *shape]` for a fixed column, else something that indexes by row.
    """
    if not column.is_numeric:
        return TextView(array)
    if column.is_ragged:
        return RaggedView(column, array)
    numbers = array.storage.values if column.shape else array
    flat = _primitive(numbers, column.storage_dtype).view(column.dtype)
    return flat.reshape(len(array), *column.fixed_shape)


def _primitive(array: pa.Array, dtype: str) -> Array:
    """Read-only numpy view of a primitive array that starts at its buffer's start."""
    buffer = array.buffers()[1]
    if buffer is None:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, count=len(array))
