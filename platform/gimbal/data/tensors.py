"""Rows as torch tensors, without copying, and arrays a GPU can be fed from quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal.data.arrow import Array
from gimbal.data.schema import Column


def as_torch(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row, or rows, into tensors that share the arrays' memory; texts stay as they are.

    A tensor made from a mapped view is as read-only as the view, but torch cannot know it: writing
    into it ends the process. Clone it first, or use `BlockReader.fetch`, whose memory is yours.
    """
    return {name: _tensor(value) for name, value in rows.items()}


def _tensor(value: Any) -> Any:
    from torch.utils.dlpack import from_dlpack

    if isinstance(value, np.ndarray):
        return from_dlpack(value)
    if isinstance(value, np.generic):
        return from_dlpack(np.array([value]))[0]
    if isinstance(value, list):
        return [_tensor(one) for one in value]
    return value


def allocate(rows: int, column: Column, *, pinned: bool = False) -> Array:
    """Make an empty `[rows, *shape]` for a column of fixed shape.

    Args:
        rows: How many.
        column: Whose rows it will hold.
        pinned: Page-locked, for fast copies to a GPU; ignored where there is none.
    """
    shape = (rows, *column.fixed_shape)
    if pinned:
        import torch
        from torch.utils.dlpack import from_dlpack

        if torch.cuda.is_available():
            dtype = from_dlpack(np.empty(1, column.dtype)).dtype
            array: Array = torch.empty(shape, dtype=dtype, pin_memory=True).numpy()
            return array
    return np.empty(shape, column.dtype)
