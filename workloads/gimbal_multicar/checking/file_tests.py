"""Whether one file is whole, without decoding it: a few bytes at its beginning and its end.

Every file of a set is tested, hundreds of thousands of them, so nothing here parses YAML or
inflates pixels. A YAML file is searched as text: its writer ends with a newline, sorts keys, and
writes each vehicle with the same keys, so a file that was cut off breaks one of these.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from gimbal_multicar.checking.camera_text import CameraNumbers, camera_numbers
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.npy import npy_header

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_TAIL = b"IEND\xaeB`\x82"
_TOP_KEY = re.compile(rb"^([A-Za-z_]\w*):", re.MULTILINE)
_FLOAT = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SIX = re.compile(
    rb"^lidar_pose:\s*\[?\s*"
    + rb"[\s,]+".join([rb"(?:- )?(" + _FLOAT + rb")"] * 6)
    + rb"\s*[\]\n]",
    re.MULTILINE,
)
_VEHICLE = re.compile(rb"^ +['\"]?-?\d+['\"]?:[ ]*$", re.MULTILINE)
_INNER_KEY = re.compile(rb"^ +([A-Za-z_]\w*):", re.MULTILINE)
_VEHICLE_KEYS = (b"angle:", b"center:", b"extent:", b"location:")
_HEADER_BYTES = 2048


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image as its header tells.

    Attributes:
        problem: What is wrong with the file; empty if nothing is.
        height: In pixels; 0 where unknown.
        width: In pixels; 0 where unknown.
    """

    problem: str
    height: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class YamlFacts:
    """A frame's file as a search of its text tells.

    Attributes:
        problem: What is wrong with the file; empty if nothing is.
        keys: Top-level keys.
        vehicle_keys: Keys of the last vehicle, the one that a file cut short lacks some of; None
            where it lists none, as `{}`.
        lidar_pose: x, y, z, roll, yaw, pitch in Unreal's axes, metres and degrees; None where it
            is written in another way.
        cameras: See `camera_text`.
    """

    problem: str
    keys: frozenset[str] = frozenset()
    vehicle_keys: frozenset[str] | None = None
    lidar_pose: tuple[float, ...] | None = None
    cameras: CameraNumbers = field(default_factory=dict)


def png_facts(path: Path) -> ImageFacts:
    """Return what the header and the end of a PNG file tell."""
    head, tail, size = _ends(path, 24, 8)
    if size == 0:
        return ImageFacts("empty file")
    if not head.startswith(_PNG_HEAD) or len(head) < 24:
        return ImageFacts("no PNG file")
    width, height = struct.unpack(">II", head[16:24])
    return ImageFacts("" if tail == _PNG_TAIL else "cut off: its end is missing", height, width)


def yaml_facts(path: Path) -> YamlFacts:
    """Return what a frame's file tells as text."""
    try:
        text = path.read_bytes()
    except OSError as error:
        return YamlFacts(f"cannot be read: {error.strerror}")
    keys = frozenset(k.decode() for k in _TOP_KEY.findall(text))
    found = _SIX.search(text)
    pose = tuple(float(x) for x in found.groups()) if found else None
    return YamlFacts(
        _yaml_problem(text, keys), keys, _last_vehicle(text), pose, camera_numbers(text)
    )


def _yaml_problem(text: bytes, keys: frozenset[str]) -> str:
    if not text.strip():
        return "empty file"
    if b"\0" in text or not keys:
        return "no YAML mapping"
    if not text.endswith(b"\n"):
        return "cut off: its last line has no end"
    _, _, vehicles = text.partition(b"\nvehicles:")
    counts = {vehicles.count(b" " + key) for key in _VEHICLE_KEYS}
    return "" if len(counts) <= 1 else "cut off: its last vehicle is not whole"


def _last_vehicle(text: bytes) -> frozenset[str] | None:
    _, found, vehicles = text.partition(b"\nvehicles:")
    if not found or vehicles.split(b"\n", 1)[0].strip():
        return None
    last = _VEHICLE.split(vehicles)[-1]
    return frozenset(k.decode() for k in _INNER_KEY.findall(last))


def pcd_problem(path: Path) -> str:
    """Return what is wrong with a point cloud's file; empty if nothing is."""
    head, tail, size = _ends(path, _HEADER_BYTES, 1)
    if size == 0:
        return "empty file"
    lines, after, rest = head.partition(b"\nDATA ")
    kind, newline, _ = rest.partition(b"\n")
    fields = {k: v for k, *v in (line.split() for line in lines.splitlines() if line.strip())}
    if not after or not newline or b"POINTS" not in fields:
        return "no PCD header"
    try:
        points = int(fields[b"POINTS"][0])
        sizes = [int(s) for s in fields[b"SIZE"]]
        counts = [int(c) for c in fields.get(b"COUNT", [b"1"] * len(sizes))]
    except (KeyError, ValueError, IndexError):
        return "a damaged PCD header"
    data_at = len(lines) + len(after) + len(kind) + 1
    return _pcd_data_problem(
        kind.strip(),
        size - data_at,
        points,
        sum(s * c for s, c in zip(sizes, counts, strict=False)),
    ) or ("cut off" if kind.strip() == b"ascii" and points and tail not in b"\n0123456789" else "")


def _pcd_data_problem(kind: bytes, held: int, points: int, point_bytes: int) -> str:
    least = {b"binary": points * point_bytes, b"binary_compressed": 8, b"ascii": points * 2}
    if kind not in least:
        return f"DATA {kind.decode(errors='replace')} is no kind of PCD"
    if points == 0:
        return "holds no point"
    return "" if held >= least[kind] else f"cut off: {held} of {least[kind]} bytes of points"


def npy_problem(path: Path) -> str:
    """Return what is wrong with an array's file; empty if nothing is."""
    try:
        npy_header(path)
    except DatasetError as error:
        return error.message.removeprefix(f"{path} ").removeprefix("is ")
    return ""


def _ends(path: Path, first: int, last: int) -> tuple[bytes, bytes, int]:
    try:
        with path.open("rb") as file:
            head = file.read(first)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - last))
            return head, file.read(last), size
    except OSError:
        return b"", b"", 0
