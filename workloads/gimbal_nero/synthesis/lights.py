"""Lights that surround the object: linear RGB images of the whole sphere.

Convention (Mitsuba's own, y-up): row 0 is +y, the centre column +z, and a direction (x, y, z) lies
at u = atan2(x, -z) / 2 pi (modulo 1), v = acos(y) / pi of the width and the height, pixel centres
at +.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_nero.errors import SynthesisError
from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.exporting.exr import read_exr
from gimbal_nero.synthesis.settings import LightSettings

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_MADE_ROWS = 128
_WINDOWS = 3


def light_directions(height: int, width: int) -> Doubles:
    """Return [H, W, 3] unit directions from the object to each pixel of a light."""
    v = (np.arange(height)[:, None] + 0.5) / height * np.pi
    u = (np.arange(width)[None] + 0.5) / width * 2 * np.pi
    ring = np.sin(v)
    return np.stack([ring * np.sin(u), np.cos(v) + 0 * u, -ring * np.cos(u)], axis=-1)


def light_pixels(directions: ArrayLike, height: int, width: int) -> Doubles:
    """Return [..., 2] (column, row) of [..., 3] unit directions, pixel centres at +.5."""
    d = np.asarray(directions, np.float64)
    u = np.arctan2(d[..., 0], -d[..., 2]) / (2 * np.pi) % 1.0
    v = np.arccos(np.clip(d[..., 1], -1, 1)) / np.pi
    return np.stack([u * width, v * height], axis=-1)


def make_light(settings: LightSettings, seed: int, number: int = 0) -> Floats:
    """Return a light [H, W, 3].

    Args:
        settings: Where it comes from.
        seed: Of a made light.
        number: 0 for the pictures' light, 1 and on for those of relighting: another made room, the
            file turned about the vertical.

    Raises:
        SynthesisError: The file cannot be read as a light.
    """
    if settings.hdri is None:
        light = _room(np.random.default_rng([seed, number, 0x1167]))
    else:
        light = _from_file(settings.hdri, settings.width)
        light = np.roll(light, round(0.382 * number * light.shape[1]), axis=1)
    if settings.mean_radiance is not None:
        light = light * (settings.mean_radiance / mean_radiance(light))
    return np.ascontiguousarray(light, np.float32)


def mean_radiance(light: Floats) -> float:
    """Return the mean over the sphere and the three colours."""
    area = np.sin((np.arange(len(light)) + 0.5) / len(light) * np.pi)
    rows: Doubles = np.asarray(light, np.float64).mean(axis=(1, 2))
    return float((rows * area).sum() / area.sum())


def hdr_bytes(light: Floats) -> bytes:
    """Return a light as a Radiance `.hdr` file."""
    import cv2

    _, content = cv2.imencode(".hdr", np.ascontiguousarray(light[..., ::-1]))
    return bytes(content)


def _from_file(path: Path, width: int) -> Floats:
    import cv2

    remedy = "name a latitude-longitude image in .hdr or .exr format: light.hdri"
    if not path.is_file():
        raise SynthesisError(f"there is no light {path}", remedy)
    light = _exr(path) if path.suffix.lower() == ".exr" else _radiance(path, remedy)
    if light.shape[1] != 2 * light.shape[0]:
        raise SynthesisError(
            f"{path} has {light.shape[1]} x {light.shape[0]} pixels, not twice as many columns as "
            "rows",
            remedy,
        )
    if not (np.isfinite(light).all() and light.min() >= 0 and light.max() > 0):
        raise SynthesisError(f"{path} has colours that are negative, not finite or all 0", remedy)
    if light.shape[1] > width:
        reduced = cv2.resize(light, (width, width // 2), interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, np.float32)
    return light


def _exr(path: Path) -> Floats:
    try:
        return read_exr(path)
    except ExportError as error:
        raise SynthesisError(error.message, error.remedy) from error


def _radiance(path: Path, remedy: str) -> Floats:
    import cv2

    try:
        read: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise SynthesisError(f"{path} cannot be read: {error.err}", remedy) from error
    if read is None or read.ndim != 3 or read.shape[2] < 3 or read.dtype != np.float32:
        raise SynthesisError(f"{path} is no image of floating-point colours", remedy)
    return np.asarray(read[..., 2::-1], np.float32)


def _room(rng: np.random.Generator) -> Floats:
    """Return walls of changing colour, a darker floor, and bright windows with bars.

    Broad colours tell where a smooth surface looks, and bars show the shape of highlights.
    """
    directions = light_directions(_MADE_ROWS, 2 * _MADE_ROWS)
    x, y, z = np.moveaxis(directions, -1, 0)
    azimuth = np.arctan2(x, -z)
    phase, tint = rng.uniform(0, 2 * np.pi, (2, 3)), rng.uniform(0.6, 1.0, 3)
    wave = 1 + 0.45 * np.sin(azimuth[..., None] * np.array([1, 2, 3]) + phase[0])
    wave = wave * (1 + 0.3 * np.sin(5 * y[..., None] + phase[1]))
    ground = np.where(y < -0.25, 0.35, 1.0)[..., None]
    room = 0.25 * tint * wave * ground
    start = rng.uniform(0, 2 * np.pi)
    for index in range(_WINDOWS):
        centre = start + 2 * np.pi * (index + rng.uniform(-0.15, 0.15)) / _WINDOWS
        shown = _window(azimuth - centre, np.arcsin(y), rng)
        room += shown[..., None] * rng.uniform(2.5, 5.0) * rng.uniform(0.8, 1.0, 3)
    return np.asarray(room, np.float32)


def _window(azimuth: Doubles, elevation: Doubles, rng: np.random.Generator) -> Doubles:
    """Return 0 to 1, where a window with a cross of bars is."""
    across = (azimuth + np.pi) % (2 * np.pi) - np.pi
    above = elevation - rng.uniform(0.25, 0.75)
    half_width, half_height = rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.35)
    inside = (np.abs(across) < half_width) & (np.abs(above) < half_height)
    bars = (np.abs(across) < 0.03) | (np.abs(above) < 0.03)
    return np.where(inside & ~bars, 1.0, 0.0)
