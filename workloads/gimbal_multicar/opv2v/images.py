"""Images as the cameras wrote them: PNG, decoded by OpenCV after our own look at the file.

OpenCV decodes truncated files without a word and unpacks whatever size a header claims. So the size
is compared with the calibration, and every chunk's checksum with its data, before anything is
decoded; a damaged file is an error that names it, never half an image.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.errors import COPY_ANEW, DatasetError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

MAX_BYTES = 64 << 20
MAX_PIXELS = 40_000_000

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_OVERHEAD = 12
_IGNORE_ORIENTATION = 128


def is_there(path: Path) -> bool:
    """Return whether a file exists; one that is missing and one that cannot be one are not alike.

    Raises:
        DatasetError: There is something of that name that is no file, such as a link to nothing.
    """
    if path.is_file():
        return True
    if os.path.lexists(path):
        what = "a link to nothing" if path.is_symlink() else "no file"
        raise DatasetError(f"{path} is {what}", "put the file itself there, or remove it")
    return False


def read_rgb(path: Path, size: tuple[int, int] | None = None) -> Bytes:
    """Decode an image.

    Args:
        path: A PNG file.
        size: Height and width that the calibration is for; none: any.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DatasetError: The file is missing, damaged, no PNG, or of another size.
    """
    import cv2

    return _decode(path, size, cv2.IMREAD_COLOR_RGB | _IGNORE_ORIENTATION)


def read_raw(path: Path, size: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
    """Decode an image with its own channels (RGB order) and depth; otherwise see `read_rgb`.

    Returns:
        [H, W] or [H, W, 3], uint8 or uint16; transparency is dropped.
    """
    import cv2

    image = _decode(path, size, cv2.IMREAD_UNCHANGED)
    return image[..., 2::-1] if image.ndim == 3 else image


def png_size(path: Path) -> tuple[int, int]:
    """Return height and width from the file's header.

    Raises:
        DatasetError: The file is missing or no PNG.
    """
    try:
        with path.open("rb") as file:
            return _header_size(file.read(33), path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _decode(path: Path, size: tuple[int, int] | None, flags: int) -> np.ndarray[Any, Any]:
    import cv2

    data = _read(path)
    found = _header_size(data, path)
    if size is not None and found != size:
        raise DatasetError(
            f"{path} is {found[1]}x{found[0]} pixels, but its calibration (cx, cy) is for "
            f"{size[1]}x{size[0]}",
            "use the images that belong to these YAML files, or scale their intrinsics as well",
        )
    _check_chunks(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DatasetError(f"{path} cannot be decoded ({error.err})", COPY_ANEW) from error
    if image is None:
        raise DatasetError(f"{path} cannot be decoded", COPY_ANEW)
    decoded: np.ndarray[Any, Any] = image
    return decoded


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path} is larger than {MAX_BYTES >> 20} MiB", COPY_ANEW)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{path} cannot be read ({error.strerror})", COPY_ANEW)


def _header_size(data: bytes, path: Path) -> tuple[int, int]:
    if not data:
        raise DatasetError(f"{path} is empty", COPY_ANEW)
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 24:
        raise DatasetError(f"{path} is no PNG file", COPY_ANEW)
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise DatasetError(f"{path} says it has {width}x{height} pixels", COPY_ANEW)
    return height, width


def _check_chunks(data: bytes, path: Path) -> None:
    """Refuse a file whose chunks are cut off or do not match their checksums."""
    view = memoryview(data)
    at = len(_SIGNATURE)
    while at + _CHUNK_OVERHEAD <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + _CHUNK_OVERHEAD + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[at + 4 : end - 4]) != checksum:
            raise DatasetError(f"{path} is damaged: a checksum is wrong", COPY_ANEW)
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end
    raise DatasetError(f"{path} is truncated", COPY_ANEW)
