"""How a made world looks: sky, haze and the grain of surfaces.

The renderer gives flat colours; this pass finishes each pixel from what lies there (its point in
the world) and from the direction alone. Two cameras or cars that look at one point therefore see
the same grain, which is what matching views needs. Grain finer than two pixels is faded out, as
mip-maps would.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gimbal_multicar.opv2v.axes import points_to_opencv
from gimbal_multicar.synthesis.scenario import Light
from gimbal_vision.rendering import Shading
from gimbal_vision.rendering.base import Array
from gimbal_vision.rendering.jit import kernel
from gimbal_vision.rendering.surface import Surface

AMBIENT = 0.5
FINE_M, COARSE_M = 0.23, 1.7
FINE_GAIN, COARSE_GAIN = 0.3, 0.2

Triple = tuple[float, float, float]


class Look(NamedTuple):
    """What a pixel's colour depends on beside the surface; numbers only, see `finish_image`.

    Attributes:
        eye: World, OpenCV axes.
        sun: Unit vector towards it.
        zenith: Colour.
        horizon: Colour.
        haze_m: See `Light`.
        pixel_rad: Angle of a pixel.
    """

    eye: Triple
    sun: Triple
    zenith: Triple
    horizon: Triple
    haze_m: float
    pixel_rad: float


def look_of(light: Light, eye: Array, pixel_rad: float) -> Look:
    """Return the numbers of a `Light` seen from a point [3]."""
    return Look(
        eye=_triple(eye),
        sun=_triple(points_to_opencv(np.array(light.towards_sun))),
        zenith=_triple(light.zenith),
        horizon=_triple(light.horizon),
        haze_m=float(light.haze_m),
        pixel_rad=float(pixel_rad),
    )


def _triple(values: ArrayLike) -> Triple:
    x, y, z = (float(v) for v in np.asarray(values, np.float64))
    return x, y, z


def shading_of(light: Light) -> Shading:
    """Return how surfaces are lit, for a renderer of OpenCV axes."""
    towards = _triple(points_to_opencv(np.array(light.towards_sun)))
    return Shading(mode="lambert", light=towards, ambient=AMBIENT)


@kernel()
def _hash(x: int, y: int, z: int) -> float:
    h = np.uint32(x) * np.uint32(73856093)
    h ^= np.uint32(y) * np.uint32(19349663)
    h ^= np.uint32(z) * np.uint32(83492791)
    h ^= h >> np.uint32(13)
    h *= np.uint32(1274126177)
    h ^= h >> np.uint32(16)
    return (h & np.uint32(0xFFFF)) / 65535.0


@kernel(fastmath=True)
def _noise(x: float, y: float, z: float) -> float:
    """Return smooth noise from 0 to 1 whose cells have side 1."""
    xf, yf, zf = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(xf), int(yf), int(zf)
    u, v, w = x - xf, y - yf, z - zf
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    total = 0.0
    for di in range(2):
        a = u if di else 1 - u
        for dj in range(2):
            b = a * (v if dj else 1 - v)
            for dk in range(2):
                total += b * (w if dk else 1 - w) * _hash(i + di, j + dj, k + dk)
    return total


@kernel(fastmath=True)
def _sky(dx: float, dy: float, dz: float, look: Look) -> Triple:
    """Return the sky's colour in a unit direction: a gradient, clouds and a glow by the sun."""
    up = max(0.0, -dy)
    t = np.sqrt(up)
    facing = max(0.0, dx * look.sun[0] + dy * look.sun[1] + dz * look.sun[2])
    glow = 70.0 * facing**48 + 24.0 * facing**6
    scale = 1.6 / (up + 0.12)
    cloud = _noise(dx * scale + 40.0, dz * scale + 9.0, 3.5)
    cloud = 0.65 * cloud + 0.35 * _noise(dx * scale * 2.3, dz * scale * 2.3, 7.5)
    cover = min(1.0, max(0.0, (cloud - 0.52) * 4.0)) * min(1.0, up * 6.0) * 0.75
    r = look.horizon[0] + t * (look.zenith[0] - look.horizon[0])
    g = look.horizon[1] + t * (look.zenith[1] - look.horizon[1])
    b = look.horizon[2] + t * (look.zenith[2] - look.horizon[2])
    r, g, b = r + cover * (246 - r), g + cover * (246 - g), b + cover * (248 - b)
    return r + glow, g + 0.9 * glow, b + 0.7 * glow


@kernel(fastmath=True)
def _grain(x: float, y: float, z: float, pixel_m: float) -> float:
    """Return the factor on the colour of a surface at a point of the world."""
    gain = 1.0 + COARSE_GAIN * (_noise(x / COARSE_M, y / COARSE_M, z / COARSE_M) - 0.5)
    fade = min(1.0, FINE_M / (2.0 * pixel_m) - 1.0)
    if fade > 0.0:
        gain += fade * FINE_GAIN * (_noise(x / FINE_M, y / FINE_M, z / FINE_M) - 0.5)
    return gain


@kernel(fastmath=True)
def _finish(colour: Triple, distance: float, ray: Triple, rough: bool, look: Look) -> Triple:
    """Return one pixel's final colour plus .5; its distance is 0 where nothing is hit."""
    dx, dy, dz = ray
    if distance == 0.0:
        r, g, b = _sky(dx, dy, dz, look)
    else:
        gain = np.exp(-distance / look.haze_m)
        lost = 1.0 - gain
        if rough:
            x, y, z = look.eye
            x, y, z = x + distance * dx, y + distance * dy, z + distance * dz
            gain *= _grain(x, y, z, distance * look.pixel_rad)
        r = colour[0] * gain + look.horizon[0] * lost
        g = colour[1] * gain + look.horizon[1] * lost
        b = colour[2] * gain + look.horizon[2] * lost
    return min(255.0, r) + 0.5, min(255.0, g) + 0.5, min(255.0, b) + 0.5


@kernel(fastmath=True)
def finish_image(
    rgb: Array, depth: Array, face: Array, rays: Array, look: Look, smooth_from: int
) -> None:
    """Finish a pinhole's image in place.

    Numba counts references to each array that a function is handed, which for every pixel costs
    more than its colour: only numbers go into the functions called here.

    Args:
        rgb: [H, W, 3] uint8.
        depth: [H, W] float32 z-depth, 0 where nothing is hit.
        face: [H, W] int32.
        rays: [3, 3] (column + .5, row + .5, 1) to the world direction with camera z = 1.
        look: `Look`.
        smooth_from: Faces from this number on have no grain.
    """
    for i in range(rgb.shape[0]):
        for j in range(rgb.shape[1]):
            u, v = j + 0.5, i + 0.5
            x = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
            y = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
            z = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
            length = np.sqrt(x * x + y * y + z * z)
            ray = (x / length, y / length, z / length)
            rough = face[i, j] < smooth_from
            colour = (float(rgb[i, j, 0]), float(rgb[i, j, 1]), float(rgb[i, j, 2]))
            r, g, b = _finish(colour, depth[i, j] * length, ray, rough, look)
            rgb[i, j, 0], rgb[i, j, 1], rgb[i, j, 2] = np.uint8(r), np.uint8(g), np.uint8(b)


@kernel(fastmath=True)
def finish_rays(
    rgb: Array, distance: Array, face: Array, rays: Array, look: Look, smooth_from: int
) -> None:
    """Finish colours of any rays in place.

    Args:
        rgb: [N, 3] uint8.
        distance: [N] float32, 0 where nothing is hit.
        face: [N] int32.
        rays: [N, 3] unit directions, world.
        look: `Look`.
        smooth_from: Faces from this number on have no grain.
    """
    for n in range(len(rgb)):
        ray = (rays[n, 0], rays[n, 1], rays[n, 2])
        colour = (float(rgb[n, 0]), float(rgb[n, 1]), float(rgb[n, 2]))
        r, g, b = _finish(colour, distance[n], ray, face[n] < smooth_from, look)
        rgb[n, 0], rgb[n, 1], rgb[n, 2] = np.uint8(r), np.uint8(g), np.uint8(b)


@kernel(fastmath=True)
def light_rays(surface: Surface, face: Array, rays: Array, sun: Triple, rgb: Array) -> None:
    """Write what light makes of the colours of faces, as `Shading` of `shading_of` does.

    Args:
        surface: `Surface`.
        face: [N] int32, negative where nothing is hit.
        rays: [N, 3] unit directions, world.
        sun: Unit vector towards it.
        rgb: Out, [N, 3] uint8; untouched where nothing is hit.
    """
    for n in range(len(face)):
        f = face[n]
        if f < 0:
            continue
        normal = surface.normals[f]
        facing, cosine = 0.0, 0.0
        for k in range(3):
            facing += normal[k] * rays[n, k]
            cosine += normal[k] * sun[k]
        cosine = max(0.0, -cosine if facing > 0.0 else cosine)
        gain = AMBIENT + (1.0 - AMBIENT) * cosine
        for c in range(3):
            rgb[n, c] = np.uint8(surface.corners[f, 0, c] * gain + 0.5)
