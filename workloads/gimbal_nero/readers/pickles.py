"""Read pickles of plain arrays and nothing else.

A pickle can call any function while it is read. GlossySynthetic stores camera poses as pickles, so
only the few constructors that numpy needs for an array of numbers are allowed here.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray, numeric

from gimbal.experiment.files import storage_errors
from gimbal_nero.errors import CaptureError

MAX_BYTES = 1 << 20
"""A camera's pickle has a few hundred bytes."""


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Stand for `_codecs.encode`, by which older pickles carry bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r} is not allowed")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    from_buffer: Any = numeric.__dict__["_frombuffer"]
    allowed: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1_bytes,
    }
    for package in ("numpy.core", "numpy._core"):
        allowed[f"{package}.multiarray", "_reconstruct"] = multiarray._reconstruct
        allowed[f"{package}.multiarray", "scalar"] = multiarray.scalar
        allowed[f"{package}.numeric", "_frombuffer"] = from_buffer
    return allowed


class _ArraysOnly(pickle.Unpickler):
    """Knows the constructors of numpy arrays and refuses every other name."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return an allowed constructor.

        Raises:
            UnpicklingError: It is any other.
        """
        found = _allowed().get((module_name, global_name))
        if found is None:
            raise pickle.UnpicklingError(f"it calls {module_name}.{global_name}")
        return found


def load_arrays(path: Path) -> Any:
    """Return the tuples, lists and arrays in a pickle.

    Raises:
        CaptureError: It is too large, damaged, or holds anything else than plain arrays.
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        if path.stat().st_size > MAX_BYTES:
            raise CaptureError(
                f"{path} is larger than any camera's pickle ({MAX_BYTES} bytes)",
                "give a pickle of (pose [3, 4], K [3, 3])",
            )
        data = path.read_bytes()
    try:
        return _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise CaptureError(
            f"{path} is no pickle of plain arrays: {error}",
            "give a pickle of (pose [3, 4], K [3, 3]) and no other objects",
        ) from error
