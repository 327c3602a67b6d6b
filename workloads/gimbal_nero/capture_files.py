"""A capture as a folder: `capture.json`, `images/`, `masks/` and `points.npy`.

`capture.json` is written last, so a folder without it was never finished. It holds the SHA-256 of
every other file: an image that was changed later is named instead of being learnt from.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    read_json,
    storage_errors,
)
from gimbal_nero.capture import SPLITS, Bytes, Capture, View
from gimbal_nero.errors import CaptureError
from gimbal_nero.normalisation import Normalisation
from gimbal_vision.cameras.pinhole import Pinhole

CAPTURE_FILE = "capture.json"
_POINTS_FILE = "points.npy"
_REMEDY = "prepare the capture again"


def save_capture(capture: Capture, folder: Path) -> Path:
    """Write a capture; the folder may be there already.

    Returns:
        The path of `capture.json`.

    Raises:
        StorageError: Something cannot be written.
    """
    ensure_folder(folder / "images")
    ensure_folder(folder / "masks")
    views = [_save_view(view, index, folder) for index, view in enumerate(capture.views)]
    buffer = io.BytesIO()
    np.save(buffer, capture.points.astype(np.float32))
    points = _write(folder, _POINTS_FILE, buffer.getvalue())
    place = capture.normalisation
    record = {
        "source": capture.source,
        "normalisation": {
            "rotation": place.rotation.tolist(),
            "centre_source": place.centre_source.tolist(),
            "scale": place.scale,
        },
        "splits": {split: list(capture.splits.get(split, ())) for split in SPLITS},
        "points": points,
        "views": views,
    }
    return atomic_write_json(folder / CAPTURE_FILE, record)


def load_capture(folder: Path) -> Capture:
    """Read a capture.

    Args:
        folder: What `save_capture` wrote.

    Raises:
        CaptureError: It is none, or a file of it was altered.
        StorageError: A file is missing or cannot be read.
    """
    record = read_json(folder / CAPTURE_FILE, remedy=_REMEDY)
    try:
        place = record["normalisation"]
        return Capture(
            views=tuple(_load_view(view, folder) for view in record["views"]),
            splits={split: tuple(record["splits"][split]) for split in SPLITS},
            normalisation=Normalisation(
                rotation=np.array(place["rotation"], np.float64),
                centre_source=np.array(place["centre_source"], np.float64),
                scale=float(place["scale"]),
            ),
            points=np.load(io.BytesIO(_read(folder, record["points"]))),
            source=record["source"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(
            f"{folder / CAPTURE_FILE} describes no capture: {error!r}", _REMEDY
        ) from error


def _save_view(view: View, index: int, folder: Path) -> dict[str, Any]:
    image = _write(folder, f"images/{index:04d}.png", _png(view.image))
    mask = None
    if view.mask is not None:
        pixels = view.mask.astype(np.uint8) * np.uint8(255)
        mask = _write(folder, f"masks/{index:04d}.png", _png(pixels))
    c = view.camera
    return {
        "name": view.name,
        "image": image,
        "mask": mask,
        "camera": {
            "fx": c.fx,
            "fy": c.fy,
            "cx": c.cx,
            "cy": c.cy,
            "height": c.height,
            "width": c.width,
        },
        "cam2world": view.cam2world.tolist(),
    }


def _load_view(record: Mapping[str, Any], folder: Path) -> View:
    camera = Pinhole(**record["camera"])
    image = _decode(_read(folder, record["image"]))[..., ::-1]
    mask = None if record["mask"] is None else _decode(_read(folder, record["mask"]))[..., 0] > 127
    if image.shape[:2] != (camera.height, camera.width):
        raise CaptureError(f"{record['image']['file']} does not fit its camera", _REMEDY)
    return View(
        name=record["name"],
        image=np.ascontiguousarray(image),
        camera=camera,
        cam2world=np.array(record["cam2world"], np.float64),
        mask=mask,
    )


def _write(folder: Path, name: str, content: bytes) -> dict[str, str]:
    atomic_write_bytes(folder / name, content)
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}


def _read(folder: Path, entry: Mapping[str, str]) -> bytes:
    path = folder / entry["file"]
    with storage_errors(path, "read"):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise CaptureError(f"{path} was altered after the capture was prepared", _REMEDY)
    return content


def _png(pixels: Bytes) -> bytes:
    import cv2

    ordered = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".png", ordered)[1])


def _decode(content: bytes) -> Bytes:
    """Return [H, W, 3] in blue, green, red."""
    import cv2

    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("an image of it is no PNG")
    return np.asarray(decoded, np.uint8)
