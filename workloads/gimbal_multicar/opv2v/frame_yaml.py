"""The numbers of one frame's YAML file, as written: Unreal's axes, metres and degrees.

The platform's own YAML reader does the reading. It is as fast as PyYAML's C loader (both wait for
libyaml), reads `1e-05` as a number, keeps vehicle ids as text, and refuses code, bombs, endless
nesting and repeated keys at their line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import Dialect, read_yaml
from gimbal_multicar.errors import COPY_ANEW, DatasetError
from gimbal_multicar.opv2v.axes import x_to_world
from gimbal_multicar.opv2v.boxes import VEHICLE_COLUMNS
from gimbal_multicar.opv2v.numpy_tags import NUMPY_TAGS
from gimbal_vision.poses import is_rigid

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

MAX_BYTES = 4 << 20
DIALECT = Dialect(max_values=200_000, tags=NUMPY_TAGS)

MAX_PLACE_M = 1e7
"""More than any map's; products of such numbers are exact to a millimetre still."""
MAX_ANGLE_DEG = 1e5
MAX_EXTENT_M = 1e3
"""Half of a vehicle's longest side."""

_CAMERA = re.compile(r"camera(0|[1-9][0-9]{0,2})")
_LIMITS = {
    "location": (-MAX_PLACE_M, MAX_PLACE_M),
    "angle": (-MAX_ANGLE_DEG, MAX_ANGLE_DEG),
    "center": (-MAX_EXTENT_M, MAX_EXTENT_M),
    "extent": (0.0, MAX_EXTENT_M),  # CARLA gives two-wheelers a width of 0
}
_VECTORS = tuple(_LIMITS)


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """One frame's numbers in Unreal's axes.

    Attributes:
        camera_names: Such as `camera0`, by number.
        world_from_cameras: [N, 4, 4].
        extrinsics: [N, 4, 4] as written, NaN where absent.
        intrinsics: [N, 3, 3] pixels.
        world_from_lidar: [4, 4].
        world_from_ego: [4, 4] of `true_ego_pos`, NaN where absent.
        ego_speed_kmh: NaN where absent.
        vehicle_ids: CARLA's actor ids as text.
        vehicles: [V, 13], see `boxes.boxes_from_numbers`.
    """

    camera_names: tuple[str, ...]
    world_from_cameras: FloatArray
    extrinsics: FloatArray
    intrinsics: FloatArray
    world_from_lidar: FloatArray
    world_from_ego: FloatArray
    ego_speed_kmh: float
    vehicle_ids: tuple[str, ...]
    vehicles: FloatArray


def read_frame_yaml(path: Path) -> FrameRecord:
    """Read one frame's file.

    Raises:
        DatasetError: The file is missing, damaged, unsafe, or lacks what every frame has; the
            message names the file and the key.
    """
    return _record(_Fields(_mapping(path), path))


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        _refuse_cut(path)
        data = read_yaml(path, DIALECT).data
    except ConfigError as error:
        raise DatasetError(error.message, COPY_ANEW) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", COPY_ANEW) from error
    if not isinstance(data, dict):
        raise DatasetError(f"{path} holds no keys and values", COPY_ANEW)
    return data


def _refuse_cut(path: Path) -> None:
    """Refuse a file without a line end at its end: the last of its numbers may be half of one."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size > MAX_BYTES:
            raise DatasetError(f"{path} is larger than {MAX_BYTES >> 20} MiB", COPY_ANEW)
        file.seek(max(0, size - 1))
        if file.read(1) != b"\n":
            raise DatasetError(f"{path} is {'truncated' if size else 'empty'}", COPY_ANEW)


def _record(fields: _Fields) -> FrameRecord:
    names = sorted(filter(_CAMERA.fullmatch, fields.data), key=lambda name: int(name[6:]))
    cameras = [fields.within(name) for name in names]
    absent = np.full((4, 4), np.nan)
    ids, vehicles = _vehicles(fields)
    return FrameRecord(
        camera_names=tuple(names),
        world_from_cameras=_stack([c.pose("cords") for c in cameras], (4, 4)),
        extrinsics=_stack([c.matrix("extrinsic", (4, 4), absent) for c in cameras], (4, 4)),
        intrinsics=_stack([c.matrix("intrinsic", (3, 3)) for c in cameras], (3, 3)),
        world_from_lidar=fields.pose("lidar_pose"),
        world_from_ego=fields.pose("true_ego_pos", absent),
        ego_speed_kmh=_number(fields, "ego_speed") if "ego_speed" in fields.data else np.nan,
        vehicle_ids=ids,
        vehicles=vehicles,
    )


def _stack(matrices: list[FloatArray], shape: tuple[int, int]) -> FloatArray:
    return np.stack(matrices) if matrices else np.zeros((0, *shape))


def _vehicles(fields: _Fields) -> tuple[tuple[str, ...], FloatArray]:
    listed = fields.within("vehicles")  # the last key of a file that is whole; {} where none
    rows = []
    for name in listed.data:
        vehicle = listed.within(name)
        row = [number for key in _VECTORS for number in vehicle.vector(key)]
        rows.append([*row, _number(vehicle, "speed")])
    table = _numbers(rows, (len(rows), VEHICLE_COLUMNS))
    if table is None or not np.isfinite(table[:, :-1]).all():
        raise listed.wrong(listed.data_name, "holds something that is no finite number")
    _refuse_impossible(table, listed)
    return tuple(listed.data), table


def _refuse_impossible(table: FloatArray, listed: _Fields) -> None:
    names = list(listed.data)
    for index, key in enumerate(_VECTORS):
        vectors = table[:, 3 * index : 3 * index + 3]
        low, high = _LIMITS[key]
        wrong = np.flatnonzero(((vectors < low) | (vectors > high)).any(axis=-1))
        if len(wrong):
            raise listed.within(names[wrong[0]]).wrong(key, _out_of(low, high))


def _out_of(low: float, high: float) -> str:
    return f"has a number that is not in {low:g} to {high:g}"


def _number(fields: _Fields, key: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fields.wrong(key, "is no number")
    return float(value)


def _numbers(value: Any, shape: tuple[int, ...]) -> FloatArray | None:
    """Return the value as an array of that shape, or None if it is none."""
    if isinstance(value, list) and not value:
        return np.zeros(shape) if 0 in shape else None
    try:
        array = np.array(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.shape == shape else None


@dataclass(frozen=True)
class _Fields:
    """A mapping of the file, and where in the file it is."""

    data: Mapping[str, Any]
    path: Path
    data_name: str = ""

    def wrong(self, key: str, problem: str) -> DatasetError:
        name = f"{self.data_name}.{key}" if self.data_name and key != self.data_name else key
        return DatasetError(f"{self.path}: {name} {problem}", COPY_ANEW)

    def get(self, key: str) -> Any:
        try:
            return self.data[key]
        except KeyError:
            raise self.wrong(key, "is missing") from None

    def within(self, key: str) -> _Fields:
        value = self.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "holds no keys and values")
        name = f"{self.data_name}.{key}" if self.data_name else key
        return _Fields(value, self.path, name)

    def vector(self, key: str) -> list[Any]:
        value = self.get(key)
        if not isinstance(value, list) or len(value) != 3:
            raise self.wrong(key, "is no list of 3 numbers")
        return value

    def matrix(
        self, key: str, shape: tuple[int, ...], absent: FloatArray | None = None
    ) -> FloatArray:
        if absent is not None and self.data.get(key) is None:
            return absent
        array = _numbers(self.get(key), shape)
        if array is None or not np.isfinite(array).all():
            raise self.wrong(key, f"is no {'x'.join(map(str, shape))} matrix of finite numbers")
        return array

    def pose(self, key: str, absent: FloatArray | None = None) -> FloatArray:
        """Return [4, 4] of six numbers, or of the matrix that some forks write instead."""
        if absent is not None and self.data.get(key) is None:
            return absent
        value = self.get(key)
        six = _numbers(value, (6,))
        if six is not None and np.isfinite(six).all():
            if abs(six[3:]).max() > MAX_ANGLE_DEG:
                raise self.wrong(key, f"has an angle beyond {MAX_ANGLE_DEG:g} degrees")
            return self._near(key, x_to_world(six))
        matrix = _numbers(value, (4, 4))
        if matrix is None or not is_rigid(matrix):
            raise self.wrong(
                key, "is neither x, y, z, roll, yaw, pitch in finite numbers nor a 4x4 pose"
            )
        return self._near(key, matrix)

    def _near(self, key: str, pose: FloatArray) -> FloatArray:
        if abs(pose[:3, 3]).max() > MAX_PLACE_M:
            raise self.wrong(key, f"is farther than {MAX_PLACE_M:g} m from the map's origin")
        return pose
