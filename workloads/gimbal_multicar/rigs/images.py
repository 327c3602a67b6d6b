"""A folder with one image per camera, named after the cameras, and perhaps one of depths.

An image has to have the size its calibration is for: one that was scaled or cropped on the way
would give a panorama that looks right at a glance and is wrong everywhere. For the same reason an
image that asks to be turned when shown (EXIF), or that has transparent pixels, is refused: nobody
tells which way up the calibration was made, or which colour such a pixel has.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_errors
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.depth import read_depth_npy
from gimbal_multicar.opv2v.images import is_there
from gimbal_vision.panoramas.rig import Rig, RigCamera

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
DEPTH_ENDINGS = (".npy", "_depth.npy")

_PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_ORIENTATION_TAG = 0x0112
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error)
"""What Pillow raises on damaged pixels and damaged EXIF."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RigImages:
    """What a moment's folders hold for a rig.

    Attributes:
        rig: The cameras that have an image.
        images: [h, w, 3] uint8 RGB by camera.
        depths: [h, w] float32 z-depth in metres by camera, 0 = unknown; none: there are none.
        missing: Cameras without an image.
        without_depth: Cameras with an image but, where others have some, without depth.
        unused: Images and depths of no camera.
    """

    rig: Rig
    images: Mapping[str, Bytes]
    depths: Mapping[str, Floats] | None
    missing: tuple[str, ...]
    without_depth: tuple[str, ...]
    unused: tuple[str, ...]


def read_rig_images(rig: Rig, images: Path, depths: Path | None = None) -> RigImages:
    """Read what is there; cameras without an image are left out.

    Args:
        rig: Cameras; their names are the files' names without the ending.
        images: Folder of `NAME.png` or `NAME.jpg`.
        depths: Folder of `NAME.npy` or `NAME_depth.npy`.

    Raises:
        ConfigError: A folder is none, or holds nothing for any camera.
        DatasetError: A file is damaged, does not fit its camera, or a camera has two.
    """
    found, unused = _files(images, rig.names, IMAGE_ENDINGS, "--images")
    present = rig.only(found)
    pictures = {c.name: _read_image(found[c.name], c) for c in present.cameras}
    ranges: dict[str, Floats] | None = None
    without: tuple[str, ...] = ()
    if depths is not None:
        files, more = _files(depths, rig.names, DEPTH_ENDINGS, "--depths")
        unused += [name for name in more if name not in unused and depths != images]
        without = tuple(name for name in present.names if name not in files)
        ranges = {c.name: _read_depth(files.get(c.name), c) for c in present.cameras}
        if not any(depth.any() for depth in ranges.values()):
            raise DatasetError(
                f"--depths: no camera of {depths} has any known depth",
                "leave --depths out to fuse by rotation alone",
            )
    return RigImages(
        rig=present,
        images=pictures,
        depths=ranges,
        missing=tuple(name for name in rig.names if name not in found),
        without_depth=without,
        unused=tuple(unused),
    )


def _files(
    folder: Path, names: Collection[str], endings: tuple[str, ...], option: str
) -> tuple[dict[str, Path], list[str]]:
    """Return the cameras' files, and the names of others with such endings."""
    if not folder.is_dir():
        raise ConfigError(f"{option}: {folder} is no folder", "name the folder of the files")
    wanted = {f"{name}{ending}".lower(): name for name in names for ending in endings}
    found: dict[str, Path] = {}
    unused = []
    with storage_errors(folder, "read"):
        paths = sorted(p for p in folder.iterdir() if p.name.lower().endswith(endings))
    for path in paths:
        name = wanted.get(path.name.lower())
        if name is None:
            unused.append(_readable(path.name))
        elif name in found:
            raise DatasetError(
                f"{folder}: both {found[name].name} and {path.name} are of camera {name}",
                "keep one of them",
            )
        elif is_there(path):
            found[name] = path
    if not found:
        there = f"; there are {', '.join(unused[:8])}" if unused else ""
        raise ConfigError(
            f"{option}: {folder} holds no file of {', '.join(names)}{there}",
            f"name the files after the cameras, such as {next(iter(names))}{endings[0]}",
        )
    return found, unused


def _readable(name: str) -> str:
    """Return a file's name as text that any file takes; bytes that are no UTF-8 are spelt out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _read_image(path: Path, camera: RigCamera) -> Bytes:
    from PIL import Image, UnidentifiedImageError

    model = camera.camera
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.size != (model.width, model.height):
                    raise DatasetError(
                        f"{path} is {image.width}x{image.height} pixels, but {camera.name} is "
                        f"calibrated for {model.width}x{model.height}",
                        "give the images the calibration is for, or scale width, height, fx, fy, "
                        "cx and cy in the rig file",
                    )
                return _colours(image, path)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is no PNG or JPEG", "convert or replace it") from error
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} cannot be read ({error})", "copy the file anew") from error


def _colours(image: Picture, path: Path) -> Bytes:
    """Return [h, w, 3] RGB; 16 bits become 8, white staying white."""
    turned = image.getexif().get(_ORIENTATION_TAG, 1)
    if turned != 1:
        raise DatasetError(
            f"{path} asks to be turned when shown (EXIF orientation {turned})",
            "save it without that tag, the way up that the calibration was made for",
        )
    if image.mode in _SIXTEEN_BITS:
        grey = np.asarray(image).astype(np.float64)
        return np.repeat(np.rint(grey / 257.0).astype(np.uint8)[..., None], 3, axis=-1)
    if image.mode not in _PLAIN_MODES:
        raise DatasetError(f"{path} is in {image.mode}, not in RGB", "save it as RGB")
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise DatasetError(
            f"{path} has transparent pixels, whose colour nobody knows",
            "save it as RGB, or with alpha 255 everywhere",
        )
    return np.asarray(image.convert("RGB"), np.uint8)


def _read_depth(path: Path | None, camera: RigCamera) -> Floats:
    size = camera.camera.height, camera.camera.width
    return np.zeros(size, np.float32) if path is None else read_depth_npy(path, size)
