"""Writes a moment into a folder; the summary comes last: where it is, all is whole.

Several moments may share a folder, as their files begin with their name; what is there under
other names is never touched.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.errors import ConfigError, StorageError
from gimbal.experiment.files import (
    atomic_write_bytes,
    atomic_write_json,
    ensure_folder,
    read_json,
    storage_errors,
)
from gimbal_multicar.clouds.measuring import summary_of
from gimbal_multicar.clouds.moment import Car, Gathered, Said
from gimbal_multicar.clouds.page import render
from gimbal_multicar.clouds.picturing import cloud_picture, png_bytes
from gimbal_multicar.clouds.views import behind, viewpoints
from gimbal_multicar.drawing import encoded, mask_picture, range_picture
from gimbal_multicar.error_drawing import error_picture, probability_picture
from gimbal_vision.cloud_files import ply_bytes

_KINDS = (
    "rgb.png",
    "depth.png",
    "mask.png",
    "cloud.png",
    "depth.npy",
    "pose.npy",
    "points.npy",
)
_SAID_KINDS = (
    "pred_depth.png",
    "pred_mask.png",
    "pred_error.png",
    "pred_depth.npy",
    "pred_pose.npy",
    "pred_mask.npy",
)


def summary_file(gathered: Gathered) -> str:
    """Return the summary's name; it says `gtpose` wherever poses are true."""
    told = gathered.pose_source == "gt" and gathered.geometry == "gt"
    return f"{gathered.name}{'_gtpose' if told else ''}_summary.json"


def write_moment(
    gathered: Gathered, folder: Path, *, max_points: int, force: bool
) -> dict[str, Any]:
    """Write page, cloud, pictures, arrays and summary.

    Args:
        gathered: The moment.
        folder: Made where it is missing.
        max_points: The page shows no more; the PLY file holds all.
        force: Whether an older one of the same name may be replaced.

    Returns:
        The content of the summary.

    Raises:
        ConfigError: The moment, or something foreign in its place, is there already.
        StorageError: A file cannot be written.
    """
    make_room(gathered, folder, force=force)
    summary = summary_of(gathered)
    ensure_folder(folder / f"{gathered.name}_views")
    files = []
    for name, data in _contents(gathered, summary, max_points):
        atomic_write_bytes(folder / name, data)
        files.append(name)
    record = {**summary, "files": [*files, summary_file(gathered)]}
    atomic_write_json(folder / summary_file(gathered), record)
    return record


def make_room(gathered: Gathered, folder: Path, *, force: bool) -> None:
    """Take away the older files of a moment.

    Raises:
        ConfigError: There are some and `force` is false, or there is something foreign.
        StorageError: A file cannot be read or taken away.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: {folder} is a file", "name a folder")
    with storage_errors(folder, "read"):
        there = _there(gathered, folder) if folder.is_dir() else []
    if there and not force:
        raise ConfigError(
            f"--out: {folder} already holds {gathered.name}",
            "name another folder, or replace it with --force",
        )
    ours = {*_names(gathered), *_written_before(folder / summary_file(gathered))}
    foreign = [name for name in there if name not in ours]
    if foreign:
        raise ConfigError(
            f"--out: {folder} holds other files of that name: {', '.join(foreign[:5])}",
            "name another folder; --force replaces only what this command writes",
        )
    with storage_errors(folder, "replace"):
        for name in sorted(there, key=lambda name: name != summary_file(gathered)):
            (folder / name).unlink()


def _there(gathered: Gathered, folder: Path) -> list[str]:
    """Return what lies in the moment's place, relative to the folder."""
    views = folder / f"{gathered.name}_views"
    inside = sorted(views.rglob("*")) if views.is_dir() else [views]
    ours = (folder / name for name in _names(gathered) if "/" not in name)
    found = [path for path in (*ours, *inside) if path.exists()]
    return [str(path.relative_to(folder)) for path in found]


def _written_before(summary: Path) -> list[str]:
    """Return what an older summary names; a damaged one names nothing."""
    try:
        return [str(name) for name in read_json(summary)["files"]] if summary.is_file() else []
    except (StorageError, KeyError, TypeError):
        return []


def _names(gathered: Gathered) -> list[str]:
    name = gathered.name
    whole = [f"{name}_pointcloud.html", f"{name}.ply", f"{name}_views/above.png"]
    each = [
        f"{name}_views/{car.agent}_{kind}"
        for car in gathered.cars
        for kind in (*_KINDS, *(_SAID_KINDS if car.said else ()))
    ]
    return [*whole, *each, summary_file(gathered)]


def _contents(
    gathered: Gathered, summary: dict[str, Any], max_points: int
) -> Iterator[tuple[str, bytes]]:
    name, cars = gathered.name, gathered.cars
    points = np.concatenate([car.points_main for car in cars])
    colours = np.concatenate([car.colours for car in cars])
    yield f"{name}_pointcloud.html", render(gathered, summary, max_points).encode()
    yield f"{name}.ply", ply_bytes(points, colours)
    above = viewpoints(cars)["above"]
    yield f"{name}_views/above.png", png_bytes(cloud_picture(points, colours, above))
    for car in cars:
        cloud = cloud_picture(points, colours, behind(car))
        for kind, data in zip(_KINDS, _car_files(car, cloud), strict=True):
            yield f"{name}_views/{car.agent}_{kind}", data
        if car.said is not None:
            for kind, data in zip(_SAID_KINDS, _said_files(car, car.said), strict=True):
                yield f"{name}_views/{car.agent}_{kind}", data


def _car_files(car: Car, cloud: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[bytes]:
    """Give what `_KINDS` names, in its order."""
    image = car.image
    yield encoded(np.ascontiguousarray(image.rgb), "PNG")
    yield encoded(range_picture(car.true_range_m), "PNG")
    yield encoded(mask_picture(image), "PNG")
    yield png_bytes(cloud)
    yield _npy(car.true_range_m)
    yield _npy(car.true_main_from_car)
    yield _npy(car.points_main)


def _said_files(car: Car, said: Said) -> Iterator[bytes]:
    """Give what `_SAID_KINDS` names, in its order."""
    yield encoded(range_picture(said.range_m), "PNG")
    yield encoded(probability_picture(said.mask_probability), "PNG")
    yield encoded(error_picture(said.range_m, car.true_range_m), "PNG")
    yield _npy(said.range_m)
    yield _npy(said.main_from_car)
    yield _npy(said.mask_probability)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
