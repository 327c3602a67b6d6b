"""The header of an array's file, trusted in nothing.

NumPy repairs headers of Python 2 with a tokenizer and guesses other formats (zip, pickle) from the
first bytes, so a damaged file may raise almost anything. Here the first bytes must be `.npy`'s, and
whatever is wrong with the header is one kind of error.
"""

from __future__ import annotations

import math
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from gimbal_multicar.errors import COPY_ANEW, DatasetError

MAGIC = b"\x93NUMPY"
_READERS = {
    b"\x01\x00": np.lib.format.read_array_header_1_0,
    b"\x02\x00": np.lib.format.read_array_header_2_0,
}
_DAMAGE = (
    ValueError,
    SyntaxError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RecursionError,
    tokenize.TokenError,
)
"""What NumPy's header parser is known to raise; all of it means that the header is damaged."""


@dataclass(frozen=True)
class NpyHeader:
    """What an array's file says of itself.

    Attributes:
        shape: Of the array.
        fortran_order: Whether its first index is the fastest.
        dtype: Of its elements; never objects.
        data_at: Bytes before the data.
        size: Bytes of the whole file.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    data_at: int
    size: int

    @property
    def needed(self) -> int:
        """Bytes the file needs to be whole."""
        return self.data_at + math.prod(self.shape) * self.dtype.itemsize


def npy_header(path: Path) -> NpyHeader:
    """Read the header alone.

    Raises:
        DatasetError: There is no such file, it is no array or one of objects, or it is cut off.
    """
    try:
        if not path.is_file():
            raise DatasetError(f"{path} is no file", COPY_ANEW)
        with path.open("rb") as file:
            header = _header(file, path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", COPY_ANEW) from error
    if header.size < header.needed:
        found = f"{header.size} of {header.needed} bytes"
        raise DatasetError(f"{path} is cut off: {found}", COPY_ANEW)
    return header


def map_npy(path: Path) -> np.ndarray[Any, Any]:
    """Return the array without reading it yet.

    Raises:
        DatasetError: See `npy_header`.
    """
    header = npy_header(path)
    order: Literal["F", "C"] = "F" if header.fortran_order else "C"
    if not math.prod(header.shape):
        return np.zeros(header.shape, header.dtype)
    try:
        return np.memmap(path, header.dtype, "r", header.data_at, header.shape, order)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", COPY_ANEW) from error


def _header(file: BinaryIO, path: Path) -> NpyHeader:
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(len(MAGIC) + 2)
    if not start.startswith(MAGIC):
        what = "empty" if not start else "no array: its first bytes are not those of .npy"
        raise DatasetError(f"{path} is {what}", COPY_ANEW)
    version = start[len(MAGIC) :]
    reader = _READERS.get(version)
    if reader is None:
        words = ".".join(map(str, version)) or "nothing"
        raise DatasetError(f"{path} is no array: .npy of version {words}", COPY_ANEW)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, fortran, dtype = reader(file)
    except _DAMAGE as error:
        raise DatasetError(f"{path} is no array: its header is damaged", COPY_ANEW) from error
    if any(side < 0 for side in shape) or dtype.hasobject or not dtype.itemsize:
        what = "of Python objects" if dtype.hasobject else f"{dtype} {list(shape)}"
        raise DatasetError(f"{path} is no array of numbers, but {what}", COPY_ANEW)
    return NpyHeader(tuple(shape), bool(fortran), dtype, file.tell(), size)
