"""Point clouds in PCD files, as Open3D writes them for OPV2V.

The intensity is in the red channel of the colour, and the colour is packed into the bits of a
float. Those bits are subnormal numbers, which some libraries make the processor flush to zero:
text files are therefore read with double precision and turned back into bits by arithmetic.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gimbal_multicar.errors import COPY_ANEW, DatasetError
from gimbal_multicar.opv2v.axes import points_to_opencv, points_to_unreal

Floats = np.ndarray[Any, np.dtype[np.float32]]
Encoding = Literal["ascii", "binary", "binary_compressed"]

MAX_POINTS = 5_000_000
MAX_FIELDS = 64
MAX_BYTES = 1 << 28
MAX_LZF_RATIO = 256
"""LZF copies at most 264 bytes per 3 bytes of input."""
MAX_HEADER_BYTES = 4096

_DATA_LINE = re.compile(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", re.MULTILINE)
_COLOURS = ("rgb", "rgba")


@dataclass(frozen=True, eq=False)
class LidarPoints:
    """One sweep of a LiDAR.

    Attributes:
        points: [P, 3] float32 metres in the LiDAR's OpenCV axes (x right, y down, z forward).
        intensity: [P] float32 in [0, 1]; 0 where the file has none.
    """

    points: Floats
    intensity: Floats


def read_pcd(path: Path) -> LidarPoints:
    """Read one point cloud; points that are not finite are left out.

    Raises:
        DatasetError: The file is missing, no PCD, truncated, or says more than it holds.
    """
    data = _read_bytes(path)
    try:
        columns = _columns(data, path)
        xyz = np.stack([np.asarray(columns[k], np.float32) for k in ("x", "y", "z")], axis=-1)
        intensity = _intensity(columns)
    except DatasetError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise _bad(path, f"cannot be understood ({_short(error)})") from error
    finite = np.isfinite(xyz).all(axis=-1)
    return LidarPoints(
        points=np.ascontiguousarray(points_to_opencv(xyz[finite]), np.float32),
        intensity=np.ascontiguousarray(intensity[finite], np.float32),
    )


def write_pcd(path: Path, cloud: LidarPoints, encoding: Encoding = "binary") -> None:
    """Write a point cloud as Open3D does: x, y, z and the colour packed into a float.

    The intensity is kept to 1/255, in the red channel.
    """
    from pypcd4.pypcd4 import Encoding as Kind
    from pypcd4.pypcd4 import PointCloud

    xyz = np.asarray(points_to_unreal(cloud.points), np.float32)
    red = np.rint(np.clip(cloud.intensity, 0.0, 1.0) * 255.0).astype(np.uint32)
    colour = (red << np.uint32(16)).view(np.float32)
    columns = [np.ascontiguousarray(xyz[:, i]) for i in range(3)] + [colour]
    if encoding == "ascii":
        _write_text(path, columns)
        return
    PointCloud.from_points(columns, ("x", "y", "z", "rgb"), (np.float32,) * 4).save(
        path, Kind(encoding)
    )


def _write_text(path: Path, columns: list[Any]) -> None:
    """Write text; the packed colour in all its digits."""
    count = len(columns[0])
    colour = _value_of_bits(columns[3].view(np.uint32))
    lines = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1",
        f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA ascii",
    ]
    xyz = zip(*(c.tolist() for c in columns[:3]), strict=True)
    for (x, y, z), rgb in zip(xyz, colour.tolist(), strict=True):
        lines.append(f"{x:.9g} {y:.9g} {z:.9g} {rgb:.9g}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise DatasetError(f"{path} is not there", "copy it, or leave this frame out")
        if path.stat().st_size > MAX_BYTES:
            raise _bad(path, f"is larger than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})") from error


def _columns(data: bytes, path: Path) -> dict[str, Any]:
    """Return the file's fields by name, each [P]; text as float64."""
    head = _DATA_LINE.search(data, 0, MAX_HEADER_BYTES)
    if head is None:
        raise _bad(path, "has no header of a PCD file")
    meta = _metadata(data[: head.end()], path)
    body = data[head.end() :]
    names = meta.build_dtype().names
    if not {"x", "y", "z"} <= set(names) or len(set(names)) != len(names):
        raise _bad(path, f"has the fields {' '.join(meta.fields)[:80]}, not x y z")
    if meta.points == 0:
        return {name: np.zeros(0) for name in names}
    if meta.data.value == "ascii":
        return _text(body, meta, path)
    return _binary(body, meta, path)


def _metadata(header: bytes, path: Path) -> Any:
    from pypcd4.pypcd4 import MetaData

    lines = header.decode("ascii", "replace").splitlines()
    meta = MetaData.parse_header([line.strip() for line in lines])
    if meta.points > MAX_POINTS or sum(meta.count) > MAX_FIELDS:
        raise _bad(path, f"says it holds {meta.points} points of {sum(meta.count)} numbers")
    return meta


def _binary(body: bytes, meta: Any, path: Path) -> dict[str, Any]:
    from pypcd4.pypcd4 import PointCloud

    dtype = meta.build_dtype()
    size = meta.points * dtype.itemsize
    if meta.data.value == "binary":
        _expect(len(body) // dtype.itemsize, meta.points, path)
    elif len(body) < 8 or int.from_bytes(body[4:8], "little") != size:
        raise _bad(path, "is compressed, and its sizes contradict each other")
    elif size > MAX_LZF_RATIO * len(body):
        raise _bad(path, f"says it holds {meta.points} points, in {len(body)} bytes")
    # A header of our own: the library's reader of headers stops at the tenth line.
    cloud = PointCloud.from_fileobj(io.BytesIO(meta.compose_header().encode() + body))  # type: ignore[arg-type]
    return {name: cloud.pc_data[name] for name in dtype.names}


def _text(body: bytes, meta: Any, path: Path) -> dict[str, Any]:
    names = meta.build_dtype().names
    if not body.strip():
        _expect(0, meta.points, path)
    # Not by the fields' own types: a packed colour is a subnormal float32.
    table = np.loadtxt(io.BytesIO(body), np.float64, ndmin=2, comments=None, encoding="latin-1")
    _expect(len(table), meta.points, path)
    if table.shape[1] != len(names):
        raise _bad(path, f"has lines of {table.shape[1]} numbers for {len(names)} fields")
    return dict(zip(names, table.T, strict=True))


def _expect(found: int, points: int, path: Path) -> None:
    if found < points:
        raise _bad(path, f"is truncated: it holds {found} of {points} points")


def _intensity(columns: dict[str, Any]) -> Floats:
    """Return [P] in [0, 1] from whichever field carries it."""
    for name in _COLOURS:
        if name in columns:
            red: Floats = ((_bits(columns[name]) >> 16) & 255).astype(np.float32) / np.float32(255)
            return red
    for name, scale in (("intensity", 1.0), ("r", 255.0), ("red", 255.0)):
        if name in columns:
            plain: Floats = np.nan_to_num(np.asarray(columns[name], np.float32)) / np.float32(scale)
            return plain
    return np.zeros(len(columns["x"]), np.float32)


def _bits(colour: Any) -> Any:
    """Return a packed colour's 32 bits."""
    if colour.dtype.kind in "iu":
        return colour.astype(np.int64)
    if colour.dtype == np.float32:
        return np.ascontiguousarray(colour).view(np.uint32).astype(np.int64)
    whole = np.nan_to_num(colour, posinf=0.0, neginf=0.0)
    if whole.size and np.abs(whole).max() >= 1.0:  # written as a plain integer
        return whole.astype(np.int64)
    small = np.abs(whole) < _SMALLEST_NORMAL
    subnormal = np.rint(np.where(small, whole, 0.0) / _SUBNORMAL_STEP)
    normal = np.where(small, 1.0, whole).astype(np.float32).view(np.uint32)
    return np.where(small, subnormal, normal).astype(np.int64)


def _value_of_bits(bits: Any) -> Any:
    """Return the float64 value of float32 bits of a positive number, subnormal or not."""
    exponent, fraction = (bits >> 23).astype(np.int64), (bits & 0x7FFFFF).astype(np.float64)
    normal = np.ldexp(1.0 + fraction / 2**23, np.maximum(exponent, 1) - 127)
    return np.where(exponent == 0, fraction * _SUBNORMAL_STEP, normal)


_SUBNORMAL_STEP = 2.0**-149
_SMALLEST_NORMAL = 2.0**-126


def _bad(path: Path, problem: str) -> DatasetError:
    return DatasetError(f"{path} {problem}", COPY_ANEW)


def _short(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:120]
