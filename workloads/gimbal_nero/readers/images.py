"""Decode one photograph: RGB and, where it has one, alpha.

Pillow decodes, because it raises on a truncated file where OpenCV returns half an image. EXIF
orientation is not applied: structure from motion works on the pixels as they are stored.
"""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import storage_errors
from gimbal_nero.errors import CaptureError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error)
"""What Pillow raises on damaged files."""


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def image_files(folder: Path) -> tuple[Path, ...]:
    """Return the image files directly in a folder, in natural order.

    Raises:
        StorageError: The folder cannot be read.
    """
    with storage_errors(folder, "read"):
        found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS and p.is_file()]
    return tuple(sorted(found, key=lambda path: natural_key(path.name)))


def read_image(path: Path) -> tuple[Bytes, Bytes | None]:
    """Return [H, W, 3] uint8 sRGB and [H, W] uint8 alpha, or None where there is no alpha.

    Raises:
        CaptureError: The file is damaged, no image, or of more than 8 bits a channel.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise CaptureError(
                        f"{path} has {image.mode} pixels, not 8 bits a channel",
                        "save it as an RGB image of 8 bits",
                    )
                if not image.has_transparency_data:
                    return np.array(image.convert("RGB"), np.uint8), None
                rgba = np.array(image.convert("RGBA"), np.uint8)
        except (*_DAMAGE, Image.DecompressionBombError) as error:
            raise CaptureError(
                f"{path} cannot be decoded: {error}", "copy the file anew, or take it out"
            ) from error
    return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image without decoding its pixels.

    Raises:
        CaptureError: It is none.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise CaptureError(f"{path} is no image: {error}", "copy the file anew") from error


def read_mask(path: Path) -> Bytes:
    """Return [H, W] uint8, bright where the object is: alpha where it varies, else brightness.

    Raises:
        CaptureError: See `read_image`.
    """
    rgb, alpha = read_image(path)
    if alpha is not None and alpha.min() < 255:
        return alpha
    return np.asarray(rgb.max(axis=-1), np.uint8)


def image_files_below(folder: Path) -> tuple[Path, ...]:
    """Return the image files in a folder and all folders in it, in natural order.

    Raises:
        StorageError: The folder cannot be read.
    """
    with storage_errors(folder, "read"):
        found = [p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS and p.is_file()]
    return tuple(sorted(found, key=lambda path: natural_key(path.as_posix())))


def images_folder(root: Path) -> Path:
    """Return `images` in a capture's folder, or the folder itself where there is none."""
    return root / "images" if (root / "images").is_dir() else root
