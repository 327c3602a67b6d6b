"""Writes a rollout into a folder: pictures, clouds, sheet, animation and, last, the numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gimbal.errors import ConfigError
from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    storage_errors,
)
from gimbal_nbv.playing.animation import animate
from gimbal_nbv.playing.play import Played, Say
from gimbal_nbv.playing.record import record_of
from gimbal_nbv.playing.scene import Scene, cloud_pictures, good_viewpoint
from gimbal_nbv.playing.sheet import contact_sheet
from gimbal_vision.cloud_files import ply_bytes

RECORD_FILE = "rollout.json"
_OURS = re.compile(r"(view|cloud)_\d\d\.(png|ply)|contact_sheet\.png|rollout\.(gif|json)")


def require_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds anything.

    Args:
        folder: Where a rollout is to be written.
        force: Let an older rollout be replaced; other files are left alone.

    Raises:
        ConfigError: It is not empty, or no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: {folder} is a file", "name a folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"--out: {folder} is not empty",
            "name another folder, or replace the rollout in it with --force",
        )


def write_rollout(played: Played, scene: Scene, folder: Path, say: Say) -> dict[str, Any]:
    """Write everything; `rollout.json` comes last, so that where it is, the rest is whole.

    Args:
        played: The rollout.
        scene: Takes the pictures.
        folder: Where to; files of an older rollout are removed first.
        say: Told what happens.

    Returns:
        The content of `rollout.json`.

    Raises:
        StorageError: A file cannot be written.
    """
    ensure_folder(folder)
    _remove_older(folder)
    files = []
    for name, data in _contents(played, scene, say):
        atomic_write_bytes(folder / name, data)
        files.append(name)
    record = record_of(played) | {"picture_size": scene.size, "files": [*files, RECORD_FILE]}
    atomic_write_json(folder / RECORD_FILE, record)
    return record


def _contents(played: Played, scene: Scene, say: Say) -> Iterator[tuple[str, bytes]]:
    say("taking pictures")
    viewpoint = good_viewpoint(played.oracle, played.views, np.asarray(scene.up))
    photographs = list(scene.photographs(played.directions))
    scan = scene.scan(played.views)
    pictures = cloud_pictures(scene, scan, viewpoint)
    for step, (photograph, picture) in enumerate(zip(photographs, pictures, strict=True)):
        yield f"view_{step + 1:02d}.png", _png(photograph)
        cloud = scan.until(step).cloud
        yield f"cloud_{step + 1:02d}.ply", ply_bytes(cloud.points, cloud.colors)
        yield f"cloud_{step + 1:02d}.png", _png(picture)
    yield "contact_sheet.png", _png(contact_sheet(played, photographs, pictures))
    say("drawing the animation")
    yield "rollout.gif", animate(played, scene, scan, viewpoint)


def _remove_older(folder: Path) -> None:
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            with storage_errors(path, "remove"):
                path.unlink()


def _png(image: NDArray[np.uint8] | Image.Image) -> bytes:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
