"""A camera model from its name and numbers, and back: what data files and settings carry.

The plain mapping is the `virtual_camera` of a view: `model`, `height`, `width`, `fx`, `fy`, `cx`,
`cy` and `fov_vertical` in degrees. A name that is missing means a pinhole, the model of every data
set that names none. One that is unknown is an error and never taken for a pinhole: the pinhole's
rays of a panorama are garbage that nothing later would notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.panoramic import Cylindrical, Equirectangular, Panorama
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError

DEFAULT_MODEL = "pinhole"

_SIZES = ("height", "width")
_NUMBERS = ("fx", "fy", "cx", "cy", "fov_vertical")
_TOLERANCE = 1e-6
"""Relative difference up to which two numbers of one mapping say the same."""

Description = dict[str, str | int | float]


@dataclass(frozen=True, kw_only=True)
class CameraKind:
    """How a camera model is made from plain numbers.

    Attributes:
        name: The class's own `camera_model`.
        build: From (height, width, the other numbers that were given) to the model; raises
            `CameraError` where a number is missing or contradicts the others.
        numbers: From the model to its fx, fy, cx, cy and fov_vertical (degrees).
        aliases: Other names that mean the same.
    """

    name: str
    build: Callable[[int, int, Mapping[str, float]], CameraModel]
    numbers: Callable[[Any], dict[str, float]]
    aliases: tuple[str, ...] = ()


_kinds: dict[str, CameraKind] = {}
_names: dict[str, str] = {}


def register_camera(kind: CameraKind) -> None:
    """Let `camera_from` and `describe` know another model.

    Raises:
        CameraError: One of its names is taken.
    """
    names = {kind.name, *kind.aliases}
    taken = sorted(names & _names.keys())
    if taken:
        raise CameraError(
            f"the camera model {', '.join(taken)} is there already", "give the new one other names"
        )
    _kinds[kind.name] = kind
    _names.update(dict.fromkeys(names, kind.name))


def model_name(name: str | None) -> str:
    """Return the model's own name of a name or alias in any case; None means a pinhole.

    Raises:
        CameraError: There is no such model.
    """
    if name is None:
        return DEFAULT_MODEL
    found = _names.get(str(name).strip().lower())
    if found is None:
        known = "; ".join(", also ".join((k.name, *k.aliases)) for k in _kinds.values())
        raise CameraError(f"there is no camera model {name!r}", f"write one of: {known}")
    return found


def camera_from(
    description: Mapping[str, Any], *, height: int | None = None, width: int | None = None
) -> CameraModel:
    """Return the camera model that a plain mapping describes.

    A pinhole needs fx, fy, cx, cy. A panorama needs `fy` and `cy`, or `fov_vertical` alone, which
    then puts the horizon into the middle row; a cylinder without either has square pixels at the
    horizon. Whatever else is given must agree.

    Args:
        description: `model` (or nothing: a pinhole) and numbers; see the module.
        height: Image height in pixels where the mapping has none.
        width: Image width likewise.

    Raises:
        CameraError: The model is unknown, a key is unknown or missing, a value is no number, or
            two contradict each other.
    """
    kind = _kinds[model_name(description.get("model"))]
    unknown = sorted(description.keys() - {"model", *_SIZES, *_NUMBERS})
    if unknown:
        raise CameraError(
            f"a camera has no {', '.join(map(str, unknown))}",
            f"write model, {', '.join((*_SIZES, *_NUMBERS))}",
        )
    h = _size("height", description.get("height"), height)
    w = _size("width", description.get("width"), width)
    given = {key: description[key] for key in _NUMBERS if description.get(key) is not None}
    return kind.build(h, w, {key: _number(key, value) for key, value in given.items()})


def describe(camera: CameraModel) -> Description:
    """Return the plain mapping of a camera; `camera_from` gives the same camera back.

    Raises:
        CameraError: Its model was never registered.
    """
    kind = _kinds[model_name(camera.camera_model)]
    numbers = kind.numbers(camera)
    return {"model": kind.name, "height": camera.height, "width": camera.width, **numbers}


def _size(key: str, written: Any, given: int | None) -> int:
    if written is None and given is None:
        raise CameraError(f"the camera has no {key}", f"write {key} in pixels")
    size = _number(key, given if written is None else written)
    if size != int(size) or (given is not None and size != given):
        wanted = "a whole number of pixels" if given is None else f"{given}, the image's own"
        raise CameraError(f"{key}: {written} is no size", f"write {wanted}")
    return int(size)


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise CameraError(f"{key}: {value!r} is no number", f"write {key} as a plain number")
    return float(value)


def _require(numbers: Mapping[str, float], *keys: str) -> list[float]:
    missing = [key for key in keys if key not in numbers]
    if missing:
        raise CameraError(f"the camera has no {', '.join(missing)}", "write these numbers too")
    return [numbers[key] for key in keys]


def _agreed(camera: CameraModel, given: Mapping[str, float], own: Mapping[str, float]) -> None:
    for key, value in given.items():
        if not abs(value - own[key]) <= _TOLERANCE * max(1.0, abs(own[key])):
            raise CameraError(
                f"{key}={value:g} contradicts the other numbers of this {camera.camera_model} "
                f"camera, which give {own[key]:g}",
                f"leave {key} out, or correct it or the others",
            )


def _pinhole(height: int, width: int, numbers: Mapping[str, float]) -> Pinhole:
    fx, fy, cx, cy = _require(numbers, "fx", "fy", "cx", "cy")
    camera = Pinhole(fx=fx, fy=fy, cx=cx, cy=cy, height=height, width=width)
    _agreed(camera, numbers, _numbers_of(camera))
    return camera


def _equirectangular(height: int, width: int, numbers: Mapping[str, float]) -> Equirectangular:
    if "fy" in numbers:
        camera = Equirectangular(height=height, width=width, **_rows(numbers))
    elif "fov_vertical" in numbers:
        camera = Equirectangular.from_vfov(height, width, numbers["fov_vertical"])
    else:
        raise CameraError(
            "the camera has no vertical angle of view",
            "write fov_vertical in degrees, or fy and cy in pixels",
        )
    _agreed(camera, numbers, _numbers_of(camera))
    return camera


def _cylindrical(height: int, width: int, numbers: Mapping[str, float]) -> Cylindrical:
    if "fy" in numbers:
        camera = Cylindrical(height=height, width=width, **_rows(numbers))
    else:
        camera = Cylindrical.from_vfov(height, width, numbers.get("fov_vertical"))
    _agreed(camera, numbers, _numbers_of(camera))
    return camera


def _rows(numbers: Mapping[str, float]) -> dict[str, float]:
    fy, cy = _require(numbers, "fy", "cy")
    return {"fy": fy, "cy": cy}


def _numbers_of(camera: Pinhole | Panorama) -> dict[str, float]:
    values = (camera.fx, camera.fy, camera.cx, camera.cy, round(camera.vfov_deg, 9))
    return dict(zip(_NUMBERS, map(float, values), strict=True))


register_camera(
    CameraKind(name="pinhole", build=_pinhole, numbers=_numbers_of, aliases=("perspective",))
)
register_camera(
    CameraKind(
        name="equirectangular",
        build=_equirectangular,
        numbers=_numbers_of,
        aliases=("eq", "erp"),
    )
)
register_camera(
    CameraKind(name="cylindrical", build=_cylindrical, numbers=_numbers_of, aliases=("cyl",))
)
