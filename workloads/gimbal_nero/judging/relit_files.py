"""Pictures under another light as stage `relight` writes them, and the true ones.

`relight.json` says which light and view a picture is of; `radiance` in its `.npz` is linear and
multiplied by `coverage`. A true picture is 8-bit sRGB, with the light itself behind the object.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import read_json, storage_errors
from gimbal_nero.capture import Bytes
from gimbal_nero.errors import ShapeError

Doubles = np.ndarray[Any, np.dtype[np.float64]]

RELIT_FILE = "relight.json"
_MOST = 65504.0
"""Largest number of 16 bits, beyond which files say infinity."""
_AGAIN = "run the config again with --force relight"


@dataclass(frozen=True, kw_only=True)
class RelitPicture:
    """One picture under another light.

    Attributes:
        light: Its name.
        view: Name of the photograph whose camera it has.
        png: The picture for people.
        linear: Its `.npz`.
        true: The true picture; None where there is none.
    """

    light: str
    view: str
    png: Path
    linear: Path
    true: Path | None = None


def listed_pictures(relight_dir: Path, root: Path | None = None) -> list[RelitPicture]:
    """Return what stage `relight` made, in its order.

    Args:
        relight_dir: The stage's folder.
        root: Folder of photographs, beside which true pictures may lie; None: they are not asked
            for.

    Raises:
        StorageError: Its record is missing or damaged.
    """
    record = relit_record(relight_dir)
    return [
        _picture(relight_dir, root, light, view)
        for light in record.get("lights", ())
        for view in light.get("views", ())
    ]


def relit_record(relight_dir: Path) -> Mapping[str, Any]:
    """Return what `relight.json` says.

    Raises:
        StorageError: It is missing or damaged.
        ShapeError: It holds something else.
    """
    found = read_json(relight_dir / RELIT_FILE, remedy=_AGAIN)
    if not isinstance(found, Mapping):
        raise ShapeError(f"{relight_dir / RELIT_FILE} names no lights", _AGAIN)
    return found


def _picture(
    folder: Path, root: Path | None, light: Mapping[str, Any], view: Mapping[str, Any]
) -> RelitPicture:
    try:
        named = light.get("truth")
        true = None if root is None or named is None else root / named / f"{view['view']}.png"
        return RelitPicture(
            light=str(light["name"]),
            view=str(view["view"]),
            png=folder / view["png"],
            linear=folder / view["linear"],
            true=true if true is not None and true.is_file() else None,
        )
    except KeyError as error:
        raise ShapeError(f"{folder / RELIT_FILE} lacks {error}", _AGAIN) from error


def radiance_of(picture: RelitPicture) -> Doubles:
    """Return [H, W, 3] linear light, black where the object is not.

    Raises:
        ShapeError: The file is damaged, or holds what is no light.
        StorageError: It cannot be read.
    """
    path = picture.linear
    try:
        with storage_errors(path, "read"), np.load(path, allow_pickle=False) as arrays:
            radiance = np.asarray(arrays["radiance"], np.float64)
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ShapeError(f"{path} is no picture of stage relight: {error}", _AGAIN) from error
    if radiance.ndim != 3 or radiance.shape[2] != 3 or np.isnan(radiance).any():
        raise ShapeError(f"{path}: radiance is no [H, W, 3] array of numbers", _AGAIN)
    return np.clip(radiance, 0.0, _MOST)


def true_picture(path: Path) -> Bytes:
    """Return [H, W, 3] 8-bit sRGB.

    Raises:
        ShapeError: The file is no picture of 8 bits and three colours.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ShapeError(
            f"{path} is no 8-bit colour picture", "restore the file from its source, or make it new"
        )
    return np.ascontiguousarray(image[..., ::-1])


def missing_truth(pictures: Sequence[RelitPicture]) -> str:
    """Return why no picture has a true one."""
    if not pictures:
        return "stage relight made no picture under another light"
    return "beside the photographs is no truth/relit with pictures under the same lights"
