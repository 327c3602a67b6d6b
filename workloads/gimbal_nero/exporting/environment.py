"""The light around an object as a latitude-longitude picture, z-up as Blender and Cycles have it.

The centre column is +x and row 0 is +z: a direction (x, y, z) lies at u = 1/2 - atan2(y, x) / 2 pi,
v = acos(z) / pi of the width and the height, pixel centres at +.5. `synthesis.lights` is the other
convention, that of Mitsuba's y-up world; `MITSUBA_TO_WORLD` turns one into the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal.experiment.files import atomic_write_bytes, storage_errors
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.exr import EXR_MARK, exr_bytes, read_exr
from gimbal_nero.synthesis.lights import hdr_bytes

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

Light = Callable[[Floats], Floats]
"""Unit directions [N, 3] of a z-up frame, away from the object, to linear radiance [N, 3]."""

MITSUBA_TO_WORLD = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""[4, 4] `to_world` of an `envmap` that shows such a picture: its x, y, z are our y, z, x."""
ENDINGS = (".exr", ".hdr")
CHUNK = 65_536
"""Directions asked at once."""


def environment_directions(height: int) -> Doubles:
    """Return [H, 2H, 3] unit directions of the pixels' centres."""
    polar = (np.arange(height)[:, None] + 0.5) / height * np.pi
    azimuth = (0.5 - (np.arange(2 * height)[None] + 0.5) / (2 * height)) * 2 * np.pi
    ring = np.sin(polar)
    return np.stack(
        [ring * np.cos(azimuth), ring * np.sin(azimuth), np.cos(polar) + 0 * azimuth], axis=-1
    )


def environment_pixels(directions: ArrayLike, height: int) -> Doubles:
    """Return [..., 2] (column, row) of [..., 3] unit directions, pixel centres at +.5."""
    d = np.asarray(directions, np.float64)
    u = (0.5 - np.arctan2(d[..., 1], d[..., 0]) / (2 * np.pi)) % 1.0
    v = np.arccos(np.clip(d[..., 2], -1, 1)) / np.pi
    return np.stack([u * 2 * height, v * height], axis=-1)


def environment_of(light: Light, height: int, finer: int = 2) -> Floats:
    """Return a light as a picture [H, 2H, 3]; a pixel is the mean over its square.

    Args:
        light: Asked `2 * (height * finer) ** 2` times in all.
        height: Rows.
        finer: Samples along each side of a pixel.

    Raises:
        ExportError: The light answers with something else than radiance.
    """
    rows = height * finer
    directions = environment_directions(rows).reshape(-1, 3).astype(np.float32)
    seen = np.empty_like(directions)
    for start in range(0, len(directions), CHUNK):
        part = slice(start, start + CHUNK)
        said = np.asarray(light(directions[part]), np.float32)
        if said.shape != directions[part].shape:
            raise ExportError(
                f"the light answers with shape {said.shape} for {len(directions[part])} directions",
                "return three numbers for each direction",
            )
        seen[part] = said
    _check_radiance(seen, "the light")
    squares = seen.reshape(height, finer, 2 * height, finer, 3)
    return np.asarray(squares.mean(axis=(1, 3)), np.float32)


def write_environment(path: Path, picture: Floats) -> None:
    """Write a light as `.exr` (float32, nothing lost) or `.hdr` (about 1 % of the brightest).

    Args:
        path: Replaced in one piece.
        picture: [H, 2H, 3] linear radiance.

    Raises:
        ExportError: The ending or the picture is none of a light.
        StorageError: It cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ExportError(
            f"{path} does not end with one of {', '.join(ENDINGS)}", f"write {path.stem}.exr"
        )
    _check(picture, "the light")
    atomic_write_bytes(path, exr_bytes(picture) if ending == ".exr" else hdr_bytes(picture))


def read_environment(path: Path) -> Floats:
    """Read a latitude-longitude light as [H, 2H, 3] linear radiance.

    Raises:
        ExportError: It is no such picture.
        StorageError: It cannot be read.
    """
    picture = read_exr(path) if _is_exr(path) else _read_hdr(path)
    _check(picture, str(path))
    return picture


def _is_exr(path: Path) -> bool:
    with storage_errors(path, "read"), path.open("rb") as file:
        return file.read(len(EXR_MARK)) == EXR_MARK


def _read_hdr(path: Path) -> Floats:
    import cv2

    remedy = "name a latitude-longitude picture in .exr or .hdr format"
    with storage_errors(path, "read"):
        content = path.read_bytes()
    try:
        read: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ExportError(f"{path} cannot be read: {error.err}", remedy) from error
    if read is None or read.ndim != 3 or read.shape[2] < 3 or read.dtype != np.float32:
        raise ExportError(f"{path} is no picture of floating-point colours", remedy)
    return np.ascontiguousarray(read[..., 2::-1])


def _check(picture: Floats, name: str) -> None:
    _check_radiance(picture, name)
    height, width = picture.shape[:2]
    if picture.shape != (height, 2 * height, 3) or not height:
        raise ExportError(
            f"{name} has {width} x {height} pixels, not twice as many columns as rows",
            "give a picture of the whole sphere in latitude and longitude",
        )


def _check_radiance(radiance: Floats, name: str) -> None:
    if not (np.isfinite(radiance).all() and radiance.min(initial=0.0) >= 0):
        raise ExportError(
            f"{name} has colours that are negative or not finite",
            "give linear radiance, at least 0 everywhere",
        )
