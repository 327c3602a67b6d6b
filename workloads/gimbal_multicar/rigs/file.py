"""A rig from a small calibration file: any number of cameras, in whichever axes a data set uses.

    axes: nuscenes              # of the vehicle: nuscenes, unreal or opencv
    centre: [0.9, 0.0, 1.8]     # where the panorama is seen from, in the vehicle's frame
    cameras:
      - name: CAM_FRONT         # its image is CAM_FRONT.png or .jpg
        width: 1600
        height: 900
        hfov_deg: 70            # or fx, fy, cx, cy; or intrinsic: a 3 x 3 matrix
        translation: [1.7, 0.0, 1.5]
        rotation: [0.5, -0.5, 0.5, -0.5]   # w, x, y, z; or yaw_deg, pitch_deg, roll_deg

Nothing is guessed: a quaternion turns camera axes into the vehicle's, and the file's `axes` say
which these are. See `rigs.axes` for what each convention means.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from gimbal.errors import ConfigError
from gimbal.experiment.config_errors import key_problems
from gimbal.experiment.settings import Settings
from gimbal.experiment.yaml_reading import Document, read_yaml
from gimbal_multicar.rigs.axes import AXES, Axes, car_from_angles, car_from_quaternion
from gimbal_vision.cameras import Pinhole, from_integer_centres
from gimbal_vision.errors import CameraError, VisionError
from gimbal_vision.panoramas.rig import Rig, RigCamera

Size = Annotated[int, Field(ge=1, le=65_536)]
Focal = Annotated[float, Field(gt=0)]


def _numbers(count: int, meaning: str) -> AfterValidator:
    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers where {count} belong: {meaning}")
        return values

    return AfterValidator(check)


def _matrix(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if [len(row) for row in rows] != [3, 3, 3]:
        raise ValueError("not three rows of three numbers: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    return rows


def _file_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of an image; use up to 100 letters, digits, spaces, "
            "dots, hyphens and underscores, a letter or digit first"
        )
    return name


def _no_boolean(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if _is_boolean(value):
        raise ValueError("true and false are no numbers: write the number itself")
    return value


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list) and any(map(_is_boolean, value)))


def _near(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(abs(value) > MAX_OFFSET_M for value in values):
        raise ValueError(f"farther than {MAX_OFFSET_M:.0f} m from the vehicle's origin")
    return values


Point = Annotated[tuple[float, ...], _numbers(3, "x, y, z in metres"), AfterValidator(_near)]
Angle = Annotated[float, Field(ge=-720, le=720)]
Quaternion = Annotated[tuple[float, ...], _numbers(4, "w, x, y, z")]
Matrix = Annotated[tuple[tuple[float, ...], ...], AfterValidator(_matrix)]

MAX_CAMERAS = 64
MAX_OFFSET_M = 1000.0
"""Longer than any vehicle; what is farther away is in another unit or of another frame."""
FOCAL_SHARES = (1e-3, 1e4)
"""Focal lengths, as shares of the image's side, that a lens may have: 179.9 to .006 degrees."""
MAX_OFF_CENTRE = 10.0
"""Sides of the image by which the axis may miss its middle."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
_FOCALS = ("fx", "fy", "cx", "cy")
_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
_UNIT_TOLERANCE = 1e-2
"""Quaternions are written with few digits; one farther from length 1 is something else."""


class CameraEntry(Settings):
    """One camera of a calibration file."""

    name: Annotated[str, AfterValidator(_file_name)]
    """Also that of its image, without the ending."""
    width: Size
    """Of the image in pixels."""
    height: Size
    hfov_deg: Annotated[float, Field(gt=0, lt=180)] | None = None
    """Horizontal angle of view; pixels are square then, and the axis meets the middle."""
    fx: Focal | None = None
    fy: Focal | None = None
    cx: float | None = None
    cy: float | None = None
    intrinsic: Matrix | None = None
    """[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
    translation: Point
    """Where it is in the vehicle's frame, in metres."""
    rotation: Quaternion | None = None
    """w, x, y, z: from the camera's axes to the vehicle's."""
    yaw_deg: Angle | None = None
    """To the side the vehicle's axes call positive; see `gimbal_multicar.rigs.axes`."""
    pitch_deg: Angle | None = None
    roll_deg: Angle | None = None

    _numbers_are_numbers = field_validator("*", mode="before")(_no_boolean)

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> Self:
        focals = [key for key in _FOCALS if getattr(self, key) is not None]
        lenses = [bool(focals), self.intrinsic is not None, self.hfov_deg is not None]
        if sum(lenses) != 1 or (focals and len(focals) < len(_FOCALS)):
            raise ValueError(
                f"the lens of {self.name} must be given once: hfov_deg, or all of fx, fy, cx, cy, "
                "or intrinsic"
            )
        turned = any(getattr(self, key) is not None for key in _ANGLES)
        if turned == (self.rotation is not None):
            raise ValueError(
                f"where {self.name} looks must be given once: rotation, or any of yaw_deg, "
                "pitch_deg, roll_deg"
            )
        if self.rotation and abs(np.linalg.norm(self.rotation) - 1.0) > _UNIT_TOLERANCE:
            raise ValueError(
                f"rotation of {self.name} has length {np.linalg.norm(self.rotation):.3g}; a "
                "quaternion w, x, y, z has length 1"
            )
        return self


class RigFile(Settings):
    """A calibration file."""

    axes: Axes
    """Of the vehicle's frame, in which `centre` and all translations are."""
    pixel_centres: Literal["half", "integer"] = "half"
    """Whether the centre of the first pixel is at (.5, .5), as in CARLA, or at (0, 0), as OpenCV's
    calibration has it; for cx and cy. hfov_deg does not depend on it."""
    centre: Point = (0.0, 0.0, 0.0)
    """Where the panorama is seen from, in metres."""
    cameras: tuple[CameraEntry, ...]

    _numbers_are_numbers = field_validator("centre", mode="before")(_no_boolean)

    @model_validator(mode="after")
    def _cameras_can_be_told_apart(self) -> Self:
        if not 0 < len(self.cameras) <= MAX_CAMERAS:
            raise ValueError(f"{len(self.cameras)} cameras; give 1 to {MAX_CAMERAS}")
        names = [camera.name.lower() for camera in self.cameras]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"cameras need names of their own; repeated: {', '.join(repeated)}")
        return self


def load_rig(path: Path) -> Rig:
    """Return the rig a calibration file describes, in OpenCV axes about its `centre`.

    Raises:
        ConfigError: Naming the file, the line and the key, and what to write instead.
    """
    document = read_yaml(path)
    file = _checked(document, path)
    cameras = []
    for index, entry in enumerate(file.cameras):
        try:
            cameras.append(_camera(entry, file))
        except VisionError as error:
            where = _where(document, path, ("cameras", str(index)))
            what = f"{where}: camera {entry.name}: {error.message}"
            raise ConfigError(what, error.remedy) from error
    return Rig(tuple(cameras))


def _checked(document: Document, path: Path) -> RigFile:
    if not isinstance(document.data, dict):
        raise ConfigError(
            f"{path}: is not a mapping of keys",
            f"write `axes: nuscenes` (or {', '.join(AXES[1:])}) and `cameras:`",
        )
    try:
        return RigFile.model_validate(document.data)
    except ValidationError as error:
        problems = key_problems(error, RigFile, document.data)
        lines = [f"{_where(document, path, p.path)}: {p.message}" for p in problems]
        # No key of this file can be given on the command line, which a remedy may suggest.
        remedies = dict.fromkeys(p.remedy.partition(", or add ")[0] for p in problems)
        remedy = "\n    ".join(filter(None, remedies)) or "correct the value there"
        raise ConfigError("\n".join(lines), remedy) from error


def _where(document: Document, path: Path, key: tuple[str, ...]) -> str:
    for length in range(len(key), 0, -1):
        if key[:length] in document.lines:
            return f"{path}, line {document.lines[key[:length]]}"
    return str(path)


def _camera(entry: CameraEntry, file: RigFile) -> RigCamera:
    offset = np.subtract(entry.translation, file.centre)
    if entry.rotation is not None:
        pose = car_from_quaternion(file.axes, offset, entry.rotation)
    else:
        angles = (entry.yaw_deg or 0.0, entry.pitch_deg or 0.0, entry.roll_deg or 0.0)
        pose = car_from_angles(file.axes, offset, angles)
    return RigCamera(entry.name, _lens(entry, file.pixel_centres), pose)


def _lens(entry: CameraEntry, pixel_centres: str) -> Pinhole:
    lens = _pinhole(entry, pixel_centres)
    _require_possible(lens.fx, lens.cx, lens.width, ("fx", "cx"))
    _require_possible(lens.fy, lens.cy, lens.height, ("fy", "cy"))
    return lens


def _require_possible(focal: float, centre: float, side: int, names: tuple[str, str]) -> None:
    least, most = (share * side for share in FOCAL_SHARES)
    if not least <= focal <= most:
        raise CameraError(
            f"{names[0]} is {focal:g} pixels where the image has {side}",
            f"give it in pixels of the image, {least:g} to {most:g}",
        )
    if abs(centre - side / 2) > MAX_OFF_CENTRE * side:
        raise CameraError(
            f"{names[1]} is {centre:g}, far outside the image of {side} pixels",
            f"give it in pixels from the image's edge, about {side / 2:g}",
        )


def _pinhole(entry: CameraEntry, pixel_centres: str) -> Pinhole:
    if entry.hfov_deg is not None:
        return Pinhole.from_hfov(entry.height, entry.width, entry.hfov_deg)
    K: Any = entry.intrinsic
    if K is None:
        K = [[entry.fx, 0.0, entry.cx], [0.0, entry.fy, entry.cy], [0.0, 0.0, 1.0]]
    if pixel_centres == "integer":
        K = from_integer_centres(K)
    return Pinhole.from_matrix(K, entry.height, entry.width)
