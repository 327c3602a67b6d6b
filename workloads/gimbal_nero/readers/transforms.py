"""`transforms.json` of NeRF and its tools: OpenGL camera-to-world matrices, z-up world.

Images that are named and missing are reported and left out: data sets of this kind often list more
frames than they ship. Lenses with distortion become COLMAP models, which is where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import read_json
from gimbal_nero.capture import Split
from gimbal_nero.errors import CaptureError
from gimbal_nero.readers.images import IMAGE_ENDINGS, image_size, natural_key
from gimbal_nero.readers.masks import Masks
from gimbal_nero.readers.source import Dropped, Lens, Photo, Source
from gimbal_vision.poses import is_rigid

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_SPLIT_FILES: dict[str, Split] = {
    "transforms_train.json": "train",
    "transforms_val.json": "validate",
    "transforms_test.json": "test",
}
_WHOLE_FILE = "transforms.json"
_RADIAL = ("k1", "k2", "p1", "p2")
_FISHEYE = ("k1", "k2", "k3", "k4")


def transforms_files(root: Path) -> tuple[Path, ...]:
    """Return the files of camera poses in a folder; one for all views, or one for each split."""
    if (root / _WHOLE_FILE).is_file():
        return (root / _WHOLE_FILE,)
    return tuple(root / name for name in _SPLIT_FILES if (root / name).is_file())


def read_transforms(root: Path, masks: Path | None = None, *, own_masks: bool = True) -> Source:
    """Read `transforms.json`, or `transforms_{train,val,test}.json`.

    Args:
        root: Folder that has one of them.
        masks: Folder of masks, or none; a frame's own `mask_path` comes first.
        own_masks: Whether `mask_path` counts; a frame whose mask is missing is then left out.

    Raises:
        CaptureError: A file is damaged, or a number in it is missing or wrong.
    """
    photos: dict[str, Photo] = {}
    dropped: list[Dropped] = []
    splits: dict[Split, tuple[str, ...]] = {}
    frames = [frame for file in transforms_files(root) for frame in _frames(file)]
    files = tuple(frame.path for frame in frames if frame.path is not None)
    found = Masks(folder=masks, bases=(root / "images", root), files=files)
    for frame in frames:
        read = _read_frame(frame, found, own_masks=own_masks)
        if isinstance(read, Dropped):
            dropped.append(read)
            continue
        if read.name in photos:
            raise CaptureError(
                f"{frame.file}: two frames are of {read.name}", "name every image once"
            )
        photos[read.name] = read
        if frame.file.name in _SPLIT_FILES:
            split = _SPLIT_FILES[frame.file.name]
            splits[split] = (*splits.get(split, ()), read.name)
    return Source(
        root=root,
        layout="transforms",
        photos=tuple(photos[name] for name in sorted(photos, key=natural_key)),
        dropped=tuple(dropped),
        up=np.array([0.0, 0.0, 1.0]),
        splits=splits,
    )


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """One entry of `frames`: `numbers` are its own, else the file's; `path` is none if missing."""

    file: Path
    where: str
    name: str
    path: Path | None
    numbers: Mapping[str, Any]


def _frames(file: Path) -> Iterator[_Frame]:
    content = read_json(file, remedy="write it anew")
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise CaptureError(f"{file} has no list `frames`", "give a transforms.json of NeRF's kind")
    for index, frame in enumerate(content["frames"]):
        where = f"{file}: frames[{index}]"
        if not isinstance(frame, Mapping) or not isinstance(frame.get("file_path"), str):
            raise CaptureError(f"{where} has no file_path", "name the frame's image")
        name = frame["file_path"].removeprefix("./")
        yield _Frame(
            file=file,
            where=where,
            name=name,
            path=_existing(file.parent / name),
            numbers={**content, "transform_matrix": None, **frame},
        )


def _read_frame(frame: _Frame, masks: Masks, *, own_masks: bool) -> Photo | Dropped:
    folder = frame.file.parent
    if frame.path is None:
        return Dropped(name=frame.name, reason=f"{folder / frame.name} is not there")
    if frame.numbers["transform_matrix"] is None:
        return Dropped(name=frame.name, reason="it has no pose (transform_matrix)")
    own = frame.numbers.get("mask_path") if own_masks else None
    mask = _existing(folder / str(own)) if own else None
    mask = mask or masks.of(frame.path)
    if own and mask is None:
        return Dropped(name=frame.name, reason=f"its mask {folder / str(own)} is not there")
    return Photo(
        name=frame.name,
        path=frame.path,
        lens=_lens(frame.numbers, frame.path, frame.where),
        cam2source=_pose(frame.numbers["transform_matrix"], frame.where),
        mask_path=mask,
    )


def _existing(path: Path) -> Path | None:
    candidates = (path, *(path.with_name(path.name + ending) for ending in IMAGE_ENDINGS))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _pose(written: Any, where: str) -> Doubles:
    try:
        pose = np.asarray(written, np.float64)
    except (TypeError, ValueError):
        pose = np.zeros(0)
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
    if pose.shape != (4, 4) or not is_rigid(pose):
        raise CaptureError(
            f"{where}.transform_matrix is no [4, 4] rotation and shift",
            "write the camera-to-world matrix, its axes of length 1",
        )
    return np.asarray(pose @ _OPENCV_FROM_OPENGL, np.float64)


def _lens(numbers: Mapping[str, Any], path: Path, where: str) -> Lens:
    width, height = _size(numbers, path, where)
    fx = _focal(numbers, "fl_x", "camera_angle_x", width, where)
    fy = _focal(numbers, "fl_y", "camera_angle_y", height, where)
    fx, fy = fx or fy, fy or fx
    if fx is None or fy is None:
        raise CaptureError(
            f"{where} has no focal length", "write fl_x and fl_y in pixels, or camera_angle_x"
        )
    cx = _number(numbers, "cx", where, width / 2.0)
    cy = _number(numbers, "cy", where, height / 2.0)
    fisheye = "FISHEYE" in str(numbers.get("camera_model", "")).upper() or numbers.get("is_fisheye")
    keys = _FISHEYE if fisheye else _RADIAL
    bends = tuple(_number(numbers, key, where, 0.0) for key in keys)
    more = tuple(_number(numbers, key, where, 0.0) for key in ("k3", "k4", "k5", "k6"))
    model: str = "PINHOLE"
    params: tuple[float, ...] = (fx, fy, cx, cy)
    if fisheye:
        model, params = "OPENCV_FISHEYE", (*params, *bends)
    elif any(more):
        model, params = "FULL_OPENCV", (*params, *bends, *more)
    elif any(bends):
        model, params = "OPENCV", (*params, *bends)
    return Lens(model=model, params=params, height=height, width=width)


def _size(numbers: Mapping[str, Any], path: Path, where: str) -> tuple[int, int]:
    if numbers.get("w") is not None and numbers.get("h") is not None:
        return int(_number(numbers, "w", where, 0)), int(_number(numbers, "h", where, 0))
    height, width = image_size(path)
    return width, height


def _focal(numbers: Mapping[str, Any], key: str, angle: str, size: int, where: str) -> float | None:
    if numbers.get(key) is not None:
        return _number(numbers, key, where, 0.0)
    if numbers.get(angle) is None:
        return None
    radians = _number(numbers, angle, where, 0.0)
    if not 0.0 < radians < math.pi:
        raise CaptureError(f"{where}: {angle} = {radians} is no angle", "write radians in (0, pi)")
    return 0.5 * size / math.tan(0.5 * radians)


def _number(numbers: Mapping[str, Any], key: str, where: str, default: float) -> float:
    value = numbers.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CaptureError(f"{where}: {key} = {value!r} is no number", f"write {key} as a number")
    return float(value)
