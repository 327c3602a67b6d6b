"""The few array operations whose spelling differs between numpy and torch.

Geometry is written once for both: numpy in data stages, torch where gradients are wanted. Torch is
imported only when a tensor was passed in, so that numpy users do not pay its second of start-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "np.ndarray[Any, np.dtype[Any]]", "torch.Tensor")
"""A numpy array or a torch tensor; every function returns the kind it was given."""

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


def namespace(array: Any) -> Any:
    """Return the module (`numpy` or `torch`) that `array` belongs to."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    import torch

    return torch


def stack(parts: list[Any], axis: int = -1) -> Any:
    """Join equal shapes along a new axis."""
    xp = namespace(parts[0])
    return np.stack(parts, axis=axis) if xp is np else xp.stack(parts, dim=axis)


def concat(parts: list[Any], axis: int) -> Any:
    """Join along an existing axis."""
    xp = namespace(parts[0])
    return np.concatenate(parts, axis=axis) if xp is np else xp.cat(parts, dim=axis)


def transpose(matrix: Any) -> Any:
    """Swap the last two axes."""
    return np.swapaxes(matrix, -1, -2) if namespace(matrix) is np else matrix.mT


def like(values: Any, array: Any) -> Any:
    """Return `values` as an array of the kind, type and device of `array`."""
    xp = namespace(array)
    if xp is np:
        return np.asarray(values, dtype=array.dtype)
    return xp.as_tensor(values, dtype=array.dtype, device=array.device)
