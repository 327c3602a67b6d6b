"""Writes one fused moment into a folder of its own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    storage_errors,
)
from gimbal_multicar import out_folder
from gimbal_vision.panoramas.model import PanoramaImage

RECORD_FILE = "fuse.json"
_IMAGE_FILE = "panorama.png"
_ARRAYS = ("range_m", "coverage", "non_ambiguous", "valid", "camera_index")
FILES = (_IMAGE_FILE, *(f"{name}.npy" for name in _ARRAYS), RECORD_FILE)


def require_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds anything; with `force`, anything but a panorama of ours.

    Raises:
        ConfigError: It is not empty, or no folder.
    """
    out_folder.require_free(folder, FILES, what="panorama", force=force)


def write_panorama(image: PanoramaImage, record: dict[str, Any], folder: Path) -> None:
    """Write picture, arrays and, last, the record: where it is, the rest is whole.

    Raises:
        StorageError: A file cannot be written.
    """
    ensure_folder(folder)
    with storage_errors(folder / RECORD_FILE, "replace"):
        (folder / RECORD_FILE).unlink(missing_ok=True)
    atomic_write_bytes(folder / _IMAGE_FILE, _png(image))
    for name in _ARRAYS:
        atomic_write_bytes(folder / f"{name}.npy", _npy(getattr(image, name)))
    atomic_write_json(folder / RECORD_FILE, {**record, "files": list(FILES)})


def _png(image: PanoramaImage) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.rgb).save(buffer, "PNG")
    return buffer.getvalue()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
