"""Where pictures are taken from: around the object, as the photographs were, or poses of a file.

A file of poses is a JSON list; each entry has
`cam2world`, 4 rows of 4 numbers: OpenCV axes (x right, y down, z forward), in the frame of the
photographs' poses; and, all three or none,
`K`, 3 rows of 3 numbers in pixels (centres at +.5), with `width` and `height`.
Without them the first photograph's lens is taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import storage_errors
from gimbal_nero.capture import Capture, View
from gimbal_nero.errors import CaptureError
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.relighting.renderer import Shot
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import is_rigid, look_at

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_FOV_DEG = 30.0
_AIR = 1.08
"""Of the object's radius, that is seen around its centre."""
_LARGEST_SIDE = 4096
_SCHEMA = "write a list of {cam2world: 4 x 4}, for another lens also K: 3 x 3, width and height"


def orbit(vertices: Doubles, frames: int, elevation_deg: float, side: int) -> list[Shot]:
    """Return a turntable about the vertical through the object, which fills the frame.

    Args:
        vertices: [V, 3] of the object, in the unit frame.
        frames: Evenly around; the first looks from +x.
        elevation_deg: Of the camera above the horizon.
        side: Pixels of a side.
    """
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    radius = float(np.linalg.norm(vertices - centre, axis=-1).max()) * _AIR
    distance = radius / np.sin(np.radians(_FOV_DEG) / 2.0)
    azimuth = 2.0 * np.pi * np.arange(frames) / max(frames, 1)
    up = np.radians(elevation_deg)
    ring = np.cos(up)
    away = np.stack(
        [ring * np.cos(azimuth), ring * np.sin(azimuth), np.full(frames, np.sin(up))], axis=-1
    )
    lens = Pinhole.from_hfov(side, side, _FOV_DEG)
    poses = look_at(centre + distance * away, centre)
    return [Shot(lens=lens, cam2world=pose) for pose in poses]


def of_views(views: Sequence[View], side: int | None = None) -> list[Shot]:
    """Return the photographs' own cameras, their longest side reduced to `side` pixels."""
    return [Shot(lens=resized(v.camera, side), cam2world=v.cam2world) for v in views]


def from_file(path: Path, capture: Capture, side: int | None = None) -> list[Shot]:
    """Return the cameras of a file of poses; see this module's docstring.

    Args:
        path: The file.
        capture: Gives the lens where the file has none, and the frame.
        side: Pixels of the longest side; none: as the lens has.

    Raises:
        CaptureError: It is no such file; says which entry is wrong.
        StorageError: It cannot be read.
    """
    with storage_errors(path, "read"):
        content = path.read_bytes()
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path} is no JSON: {error}", _SCHEMA) from error
    if not isinstance(entries, list) or not entries:
        raise CaptureError(f"{path} is no list of poses", _SCHEMA)
    lens = capture.views[0].camera
    return [
        _shot(entry, f"{path}, entry {number}", lens, capture.normalisation, side)
        for number, entry in enumerate(entries)
    ]


def resized(lens: Pinhole, side: int | None) -> Pinhole:
    """Return a lens whose picture has `side` pixels along its longest side."""
    if side is None:
        return lens
    scale = side / max(lens.height, lens.width)
    return lens.resized(max(1, round(lens.height * scale)), max(1, round(lens.width * scale)))


def thinned(shots: Sequence[Shot], count: int | None) -> list[Shot]:
    """Return at most so many, evenly chosen."""
    if count is None or len(shots) <= count:
        return list(shots)
    return [shots[index * len(shots) // count] for index in range(count)]


def _shot(
    entry: Any, where: str, lens: Pinhole, normalisation: Normalisation, side: int | None
) -> Shot:
    if not isinstance(entry, dict) or "cam2world" not in entry:
        raise CaptureError(f"{where} has no cam2world", _SCHEMA)
    unknown = sorted(set(entry) - {"cam2world", "K", "width", "height", "name"})
    if unknown:
        raise CaptureError(f"{where} has {unknown[0]}, which is unknown", _SCHEMA)
    pose = _numbers(entry["cam2world"], (4, 4), f"{where}: cam2world")
    if not is_rigid(pose):
        raise CaptureError(
            f"{where}: cam2world is not a rotation and a place",
            "give a right-handed rotation without scale, and 0 0 0 1 in the last row",
        )
    if {"width", "height"} & set(entry) and "K" not in entry:
        raise CaptureError(f"{where} has width or height without K", _SCHEMA)
    if "K" in entry:
        lens = _lens(entry, where)
    return Shot(lens=resized(lens, side), cam2world=normalisation.poses(pose))


def _lens(entry: dict[str, Any], where: str) -> Pinhole:
    height, width = entry.get("height"), entry.get("width")
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise CaptureError(f"{where} has K without width and height", _SCHEMA)
    if max(height, width) > _LARGEST_SIDE:
        raise CaptureError(
            f"{where} asks for a picture of {width} x {height}",
            f"write at most {_LARGEST_SIDE} a side",
        )
    try:
        return Pinhole.from_matrix(_numbers(entry["K"], (3, 3), f"{where}: K"), height, width)
    except CameraError as error:
        raise CaptureError(f"{where}: {error.message}", error.remedy) from error


def _numbers(values: Any, shape: tuple[int, int], where: str) -> Doubles:
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"{where} is no array of numbers", _SCHEMA) from error
    if found.shape != shape or not np.isfinite(found).all():
        raise CaptureError(f"{where} is not {shape[0]} x {shape[1]} finite numbers", _SCHEMA)
    return found
