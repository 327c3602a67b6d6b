"""OpenEXR pictures of one kind: uncompressed float32 RGB, written and read again.

OpenCV 5's wheels come without OpenEXR. Lines of plain numbers under a fixed header need no library,
and every reader knows them; a light of 256 x 512 takes 1.5 MB. Other kinds (compressed, half,
tiled) are refused in words; Radiance `.hdr` is read whatever wrote it. Layout: the OpenEXR file
format of its documentation, version 2, one part, scan lines.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import storage_errors
from gimbal_nero.exporting.errors import ExportError

Floats = np.ndarray[Any, np.dtype[np.float32]]

EXR_MARK = struct.pack("<i", 20000630)
"""The first bytes of every EXR file."""
_VERSION = 2
_FLOAT, _UNCOMPRESSED, _FROM_THE_TOP = 2, 0, 0
_CHANNELS = "BGR"
"""The format wants them in the order of their names."""


def exr_bytes(picture: Floats) -> bytes:
    """Return a picture [H, W, 3] of linear RGB as an EXR file."""
    height, width = picture.shape[:2]
    lines = np.ascontiguousarray(picture[..., ::-1].transpose(0, 2, 1), "<f4")
    size = lines[0].nbytes
    header = _header(height, width)
    first = len(header) + 8 * height
    starts = first + (8 + size) * np.arange(height, dtype="<u8")
    rows = (struct.pack("<ii", row, size) + line.tobytes() for row, line in enumerate(lines))
    return b"".join([header, starts.tobytes(), *rows])


def read_exr(path: Path) -> Floats:
    """Return an EXR file that is uncompressed float32 RGB, as ours are, as [H, W, 3] linear RGB.

    Raises:
        ExportError: It is another kind of EXR file, or damaged.
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        content = path.read_bytes()
    try:
        height, width = _size(content)
        start = len(_header(height, width))
        wanted = content.startswith(_header(height, width))
        lines = np.frombuffer(content, np.uint8, height * (8 + 12 * width), start + 8 * height)
    except (ValueError, OverflowError, struct.error):
        wanted = False
    if not wanted:
        raise ExportError(
            f"{path} is no EXR file of uncompressed float32 RGB, or is damaged",
            "convert the picture to .hdr, which is read whatever wrote it",
        )
    numbers = lines.reshape(height, 8 + 12 * width)[:, 8:].copy().view("<f4")
    planes = numbers.reshape(height, 3, width).transpose(0, 2, 1)
    return np.ascontiguousarray(planes[..., ::-1], np.float32)


def _size(content: bytes) -> tuple[int, int]:
    """Return height and width of a file whose attributes are ours, in our order."""
    at = len(_header(1, 1)) - len(_header(1, 1).split(b"dataWindow\0box2i\0", 1)[1]) + 4
    left, top, right, bottom = struct.unpack_from("<4i", content, at)
    if not (left == top == 0 <= min(right, bottom)):
        raise ValueError("no picture begins there")
    return bottom + 1, right + 1


def _header(height: int, width: int) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channel = struct.pack("<iB3x2i", _FLOAT, 0, 1, 1)
    channels = b"".join(name.encode() + b"\0" + channel for name in _CHANNELS) + b"\0"
    attributes = [
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([_UNCOMPRESSED])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", bytes([_FROM_THE_TOP])),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    ]
    told = b"".join(
        f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return EXR_MARK + struct.pack("<i", _VERSION) + told + b"\0"
