"""Tables on disk, shared by all processes that build panoramas of one rig.

A file's name is the key of all it depends on, so another calibration is another file and nothing is
ever stale. Writers write beside it and rename: readers see a whole file or none, and of two writers
the later one replaces the same bytes. A damaged file is made again; a folder that cannot be written
to costs time, never the run.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.model import NO_CAMERA, BuildOptions
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.table import Bytes, Floats, RemapTable, make_table, table_key

logger = logging.getLogger(__name__)

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file raises that is truncated, overwritten or no table."""

DTYPES = {
    "camera_index": np.uint8,
    "x": np.float32,
    "y": np.float32,
    "weight": np.float32,
    "seen_by": np.uint8,
    "extra_pixel": np.int32,
    "extra_camera": np.uint8,
    "extra_x": np.float32,
    "extra_y": np.float32,
    "extra_weight": np.float32,
}


def table_path(cache_dir: Path, key: str) -> Path:
    """Return where the table of a key lies."""
    return cache_dir / f"panorama-{key}.npz"


def cached_table(
    rig: Rig, camera: Panorama, options: BuildOptions, cache_dir: Path | None
) -> RemapTable:
    """Return a rig's table, from disk if it is there, else made and written.

    Args:
        rig: Its cameras.
        camera: The panorama.
        options: `blend`, `feather_px` and `min_cos_view_angle` matter.
        cache_dir: Made if absent; none: nothing is read or written.
    """
    key = table_key(rig, camera, options)
    if cache_dir is None:
        return make_table(rig, camera, options)
    path = table_path(cache_dir, key)
    found = _read(path, rig, camera)
    if found is not None:
        logger.info("panorama table %s: read from %s", key, path)
        return found
    table = make_table(rig, camera, options)
    if _write(path, table):
        logger.info("panorama table %s: made, written to %s", key, path)
    return table


def _read(path: Path, rig: Rig, camera: Panorama) -> RemapTable | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            table = RemapTable(**{f.name: arrays[f.name] for f in fields(RemapTable)})
        _check(table, rig, camera)
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        logger.warning("panorama table %s is damaged and made again: %s", path, error)
        return None
    return table


def _check(table: RemapTable, rig: Rig, camera: Panorama) -> None:
    """Refuse a table that would make the builder read beyond its arrays.

    Raises:
        ValueError: Naming what does not fit.
    """
    pixels, count = (camera.height, camera.width), table.extra_pixel.shape
    for name, dtype in DTYPES.items():
        array = getattr(table, name)
        shape = count if name.startswith("extra_") else pixels
        if array.dtype != dtype or array.shape != shape or len(count) != 1:
            raise ValueError(f"{name} is {array.dtype}{array.shape}, not {np.dtype(dtype)}{shape}")
    used = table.camera_index != NO_CAMERA
    _check_places(table.camera_index[used], table.x[used], table.y[used], rig)
    _check_places(table.extra_camera, table.extra_x, table.extra_y, rig)
    extra = table.extra_pixel
    if extra.size and not 0 <= extra.min() <= extra.max() < pixels[0] * pixels[1]:
        raise ValueError("a pixel outside the panorama")


def _check_places(cameras: Bytes, x: Floats, y: Floats, rig: Rig) -> None:
    if not cameras.size:
        return
    if cameras.max() >= len(rig.cameras):
        raise ValueError(f"camera {cameras.max()} of a rig of {len(rig.cameras)}")
    last_x = np.array([c.camera.width - 1 for c in rig.cameras])[cameras]
    last_y = np.array([c.camera.height - 1 for c in rig.cameras])[cameras]
    if not ((x >= 0) & (x <= last_x) & (y >= 0) & (y <= last_y)).all():
        raise ValueError("a coordinate outside its image")


def _write(path: Path, table: RemapTable) -> bool:
    buffer = io.BytesIO()
    np.savez(buffer, **{f.name: getattr(table, f.name) for f in fields(RemapTable)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    except OSError as error:
        logger.warning("panorama table %s cannot be written: %s", path, error)
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getvalue())
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        logger.warning("panorama table %s cannot be written: %s", path, error)
        return False
    return True
