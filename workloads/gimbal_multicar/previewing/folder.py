"""Writes a preview into a folder of its own; the record comes last: where it is, all is whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    storage_errors,
)
from gimbal_multicar.drawing import camera_picture, encoded, mask_picture, range_picture
from gimbal_multicar.previewing.facts import facts_of, points_of
from gimbal_multicar.previewing.looking import Looked
from gimbal_multicar.previewing.page import render
from gimbal_vision.cameras import PointMap
from gimbal_vision.cloud_files import ply_bytes

RECORD_FILE = "preview.json"
FILES = (
    "panorama.png",
    "panorama_cameras.png",
    "depth.png",
    "mask.png",
    "depth.npy",
    "mask.npy",
    "points.ply",
    "preview.html",
    RECORD_FILE,
)


def write_preview(looked: Looked, folder: Path) -> dict[str, Any]:
    """Write pictures, arrays, points, page and record.

    Returns:
        The content of `preview.json`: the facts, and the files' names.

    Raises:
        StorageError: A file cannot be written.
    """
    points = points_of(looked)
    facts = facts_of(looked, points)
    ensure_folder(folder)
    with storage_errors(folder / RECORD_FILE, "replace"):
        (folder / RECORD_FILE).unlink(missing_ok=True)
    for name, data in _contents(looked, points, facts):
        atomic_write_bytes(folder / name, data)
    record = {**facts, "made_by": dict(looked.record), "files": list(FILES)}
    atomic_write_json(folder / RECORD_FILE, record)
    return record


def _contents(
    looked: Looked, points: PointMap, facts: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    image = looked.image
    yield "panorama.png", encoded(np.ascontiguousarray(image.rgb), "PNG")
    yield "panorama_cameras.png", encoded(camera_picture(image, looked.rig), "PNG")
    yield "depth.png", encoded(range_picture(image.range_m), "PNG")
    yield "mask.png", encoded(mask_picture(image), "PNG")
    yield "depth.npy", _npy(points.depth_along_ray[..., 0])
    yield "mask.npy", _npy(np.stack([image.coverage, image.non_ambiguous, image.valid]))
    yield "points.ply", ply_bytes(points.points[points.known], image.rgb[points.known])
    yield "preview.html", render(looked, facts).encode()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
