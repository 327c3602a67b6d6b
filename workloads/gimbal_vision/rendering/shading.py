"""From the nearest face of every pixel to images: the second pass all backends share.

A renderer only has to say which face each pixel sees and how far away it is, as the keys of
`zbuffer`. Barycentric coordinates are clamped to the face, which keeps slivers from showing colours
they do not have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gimbal_vision.rendering.base import Array, Output, Shading
from gimbal_vision.rendering.jit import Index, Real, kernel
from gimbal_vision.rendering.surface import Surface
from gimbal_vision.rendering.views import View

INFINITE = 0x7F800000
"""The bits of float32 infinity: the upper half of a key without a hit."""

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
UNLIT, HEADLIGHT, LAMBERT = 0, 1, 2
_MODES = {"unlit": UNLIT, "headlight": HEADLIGHT, "lambert": LAMBERT}


class Light(NamedTuple):
    """`Shading` as numbers: mode, unit direction, ambient share, plain colours."""

    mode: int
    direction: Array
    ambient: float
    surface: Array
    background: Array


class Targets(NamedTuple):
    """The rows to draw into; images that are not wanted have no rows."""

    depth: Array
    normal: Array
    mask: Array
    face_id: Array
    rgb: Array


_NOWHERE = Targets(
    depth=np.empty((0, 0), np.float32),
    normal=np.empty((0, 0, 3), np.float32),
    mask=np.empty((0, 0), np.bool_),
    face_id=np.empty((0, 0), np.int32),
    rgb=np.empty((0, 0, 3), np.uint8),
)


def light_of(shading: Shading) -> Light:
    """Return the numbers of a `Shading`."""
    direction = np.asarray(shading.light, np.float64)
    return Light(
        _MODES[shading.mode],
        direction / np.linalg.norm(direction),
        float(shading.ambient),
        np.asarray(shading.surface, np.float32),
        np.asarray(shading.background, np.uint8),
    )


def targets_of(images: dict[Output, Array], view: int, rows: tuple[int, int]) -> Targets:
    """Return a band of rows of one view of every image."""
    wanted = {str(name): image[view, rows[0] : rows[1]] for name, image in images.items()}
    return _NOWHERE._replace(**wanted)


@kernel(fastmath=True)
def _texel(texture: Array, u: Real, v: Real, channel: int) -> Real:
    """Fetch one channel bilinearly; texel centres lie at +.5, v points up, the image repeats."""
    height, width = texture.shape[0], texture.shape[1]
    x = (u - np.floor(u)) * width - 0.5
    y = (np.ceil(v) - v) * height - 0.5
    x0 = int(np.floor(x))
    y0 = int(np.floor(y))
    wx = x - x0
    wy = y - y0
    left, right = (x0 + width) % width, (x0 + 1) % width
    top, bottom = (y0 + height) % height, (y0 + 1) % height
    upper = texture[top, left, channel] * (1.0 - wx) + texture[top, right, channel] * wx
    lower = texture[bottom, left, channel] * (1.0 - wx) + texture[bottom, right, channel] * wx
    value: Real = upper * (1.0 - wy) + lower * wy
    return value


@kernel(fastmath=True)
def _paint(
    surface: Surface, light: Light, f: Index, x: Real, y: Real, z: Real, gain: Real, pixel: Array
) -> None:
    """Write the colour of face `f` at the point (x, y, z) relative to `surface.origin`."""
    channels = surface.corners.shape[2]
    if channels == 0:
        for k in range(3):
            pixel[k] = np.uint8(light.surface[k] * gain + HALF)
        return
    g = surface.frames[f]
    b1 = min(max(g[0] * x + g[1] * y + g[2] * z + g[3], ZERO), ONE)
    b2 = min(max(g[4] * x + g[5] * y + g[6] * z + g[7], ZERO), ONE - b1)
    b0 = ONE - b1 - b2
    c = surface.corners[f]
    if channels == 3:
        for k in range(3):
            pixel[k] = np.uint8((b0 * c[0, k] + b1 * c[1, k] + b2 * c[2, k]) * gain + HALF)
        return
    u = b0 * c[0, 0] + b1 * c[1, 0] + b2 * c[2, 0]
    v = b0 * c[0, 1] + b1 * c[1, 1] + b2 * c[2, 1]
    for k in range(3):
        pixel[k] = np.uint8(_texel(surface.texture, u, v, k) * gain + HALF)


@kernel(fastmath=True)
def _shade_pixel(
    i: int,
    j: int,
    key: int,
    d: tuple[float, float, float],
    eye: tuple[float, float, float],
    surface: Surface,
    light: Light,
    targets: Targets,
) -> None:
    """Write normal and colour of a pixel whose ray is `d`, seen from `eye` - `surface.origin`."""
    f = np.uint64(key & 0x7FFFFFFF)
    nx, ny, nz = surface.normals[f, 0], surface.normals[f, 1], surface.normals[f, 2]
    dx, dy, dz = d
    facing = nx * dx + ny * dy + nz * dz
    if facing > 0.0:
        nx, ny, nz = -nx, -ny, -nz
    if targets.normal.size > 0:
        normal = targets.normal[i, j]
        normal[0], normal[1], normal[2] = nx, ny, nz
    if targets.rgb.size == 0:
        return
    gain = ONE
    if light.mode == HEADLIGHT:
        cosine = abs(facing) / np.sqrt(dx * dx + dy * dy + dz * dz)
        gain = np.float32(light.ambient + (1.0 - light.ambient) * cosine)
    elif light.mode == LAMBERT:
        way = light.direction
        cosine = max(0.0, nx * way[0] + ny * way[1] + nz * way[2])
        gain = np.float32(light.ambient + (1.0 - light.ambient) * cosine)
    z = np.int32(key >> 32).view(np.float32)
    x = np.float32(eye[0] + z * dx)
    y = np.float32(eye[1] + z * dy)
    w = np.float32(eye[2] + z * dz)
    _paint(surface, light, f, x, y, w, gain, targets.rgb[i, j])


@kernel(fastmath=True)
def shade(
    keys: Array,
    rows: tuple[int, int],
    width: int,
    view: View,
    surface: Surface,
    light: Light,
    targets: Targets,
) -> None:
    """Write every wanted image of a band of rows.

    Args:
        keys: [at least as many rows, at least W] int64 from `zbuffer` or `pack`.
        rows: Image row of the band's first row, and of the row after its last.
        width: Columns of the image.
        view: `View`.
        surface: `Surface`.
        light: `Light`.
        targets: `Targets`; written.
    """
    rays = view.rays
    o = surface.origin
    eye = (view.eye[0] - o[0], view.eye[1] - o[1], view.eye[2] - o[2])
    shaded = targets.normal.size > 0 or targets.rgb.size > 0
    for i in range(rows[1] - rows[0]):
        v = i + rows[0] - view.cy
        for j in range(width):
            key = keys[i, j]
            hit = (key >> 32) < INFINITE
            if targets.depth.size > 0:
                targets.depth[i, j] = np.int32(key >> 32).view(np.float32) if hit else ZERO
            if targets.mask.size > 0:
                targets.mask[i, j] = hit
            if targets.face_id.size > 0:
                targets.face_id[i, j] = np.int32(key) if hit else np.int32(-1)
            if not shaded:
                continue
            if hit:
                u = j - view.cx
                dx = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
                dy = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
                dz = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
                _shade_pixel(i, j, key, (dx, dy, dz), eye, surface, light, targets)
                continue
            for k in range(targets.normal.shape[2] if targets.normal.size > 0 else 0):
                targets.normal[i, j, k] = ZERO
            for k in range(targets.rgb.shape[2] if targets.rgb.size > 0 else 0):
                targets.rgb[i, j, k] = light.background[k]


@kernel()
def pack(depth: Array, ids: Array, width: int, keys: Array) -> None:
    """Turn another renderer's hits into keys.

    Args:
        depth: [rows * width] float32 z-depth.
        ids: [rows * width] int32 face ids, negative where nothing was hit.
        width: Pixels in a row.
        keys: Out, [at least rows, width] int64.
    """
    for n in range(len(depth)):
        key = (np.int64(np.float32(depth[n]).view(np.int32)) << 32) | np.int64(ids[n])
        keys[n // width, n % width] = key if ids[n] >= 0 else np.int64(INFINITE) << 32
