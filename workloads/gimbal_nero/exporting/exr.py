"""OpenEXR pictures: written here, uncompressed float32; read by Mitsuba, whatever their kind.

OpenCV's wheels come without OpenEXR. Lines of plain numbers under a fixed header need no library to
be written, and every reader knows them; a light of 256 x 512 takes 1.5 MB. Layout: the OpenEXR file
format of its documentation, version 2, one part, scan lines.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_nero.errors import SynthesisError
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
    """Return an EXR file as [H, W, 3] linear RGB.

    Raises:
        ExportError: It is damaged, or Mitsuba is not installed.
    """
    from gimbal_nero.synthesis.mitsuba_scene import mitsuba

    try:
        mi = mitsuba(1)
    except SynthesisError as error:
        raise ExportError(
            f"{path} is in EXR format, and Mitsuba 3, which reads it, cannot be imported",
            "pip install 'gimbal[synthesis]', or convert the picture to .hdr",
        ) from error
    try:
        read = mi.Bitmap(str(path)).convert(
            mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.Float32, srgb_gamma=False
        )
    except RuntimeError as error:
        raise ExportError(
            f"{path} cannot be read as EXR: {str(error).splitlines()[-1]}",
            "name a latitude-longitude picture in .exr or .hdr format",
        ) from error
    return np.array(read, np.float32)


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
