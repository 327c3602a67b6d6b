"""From the nearest face of every pixel to images: the second pass all backends share.

A renderer only has to say which face each pixel sees and how far away it is, as the keys of
`zbuffer`. Barycentric coordinates are clamped to the face, which keeps slivers from showing colours
they do not have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gimbal_vision.rendering.base import Array, Output, Shading
from gimbal_vision.rendering.jit import kernel
from gimbal_vision.rendering.surface import Surface
from gimbal_vision.rendering.views import View

INFINITE = 0x7F800000
"""The bits of float32 infinity: the upper half of a key without a hit."""

ID_BITS = 0x7FFFFFFF
"""The face id in the lower half of a key."""

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


@kernel()
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

    Work goes row by row through small passes whose rows stay in the nearest cache: numba counts
    references to each array passed to a function, which would be too dear for every pixel.

    Args:
        keys: [at least as many rows, at least W] int64 from `zbuffer` or `pack`.
        rows: Image row of the band's first row, and of the row after its last.
        width: Columns of the image.
        view: `View`.
        surface: `Surface`.
        light: `Light`.
        targets: `Targets`; written.
    """
    channels = surface.corners.shape[2]
    gains = np.empty(width, np.float32)
    weights = np.empty((width, 2), np.float32)
    for i in range(rows[1] - rows[0]):
        _hits_row(keys[i], i, width, targets.depth, targets.mask, targets.face_id)
        v = i + rows[0] - view.cy
        if targets.normal.size > 0:
            _normal_row(keys[i], v, view, surface.normals, targets.normal[i])
        if targets.rgb.size == 0:
            continue
        _gain_row(keys[i], v, view, surface.normals, light, gains)
        if channels > 0:
            _weight_row(keys[i], v, view, surface.origin, surface.frames, weights)
        if channels == 0:
            _plain_row(keys[i], gains, light, targets.rgb[i])
        elif channels == 3:
            _painted_row(keys[i], gains, weights, surface.corners, light, targets.rgb[i])
        else:
            _textured_row(
                keys[i], gains, weights, surface.corners, surface.texture, light, targets.rgb[i]
            )


@kernel()
def _hits_row(keys: Array, i: int, width: int, depth: Array, mask: Array, face_id: Array) -> None:
    if depth.size > 0:
        for j in range(width):
            hit = (keys[j] >> 32) < INFINITE
            depth[i, j] = np.int32(keys[j] >> 32).view(np.float32) if hit else ZERO
    if mask.size > 0:
        for j in range(width):
            mask[i, j] = (keys[j] >> 32) < INFINITE
    if face_id.size > 0:
        for j in range(width):
            face_id[i, j] = np.int32(keys[j]) if (keys[j] >> 32) < INFINITE else np.int32(-1)


@kernel(fastmath=True)
def _normal_row(keys: Array, v: float, view: View, normals: Array, out: Array) -> None:
    """Write unit normals turned towards the camera."""
    rays = view.rays
    for j in range(len(out)):
        if (keys[j] >> 32) >= INFINITE:
            out[j, 0] = out[j, 1] = out[j, 2] = ZERO
            continue
        f = np.uint64(keys[j] & ID_BITS)
        u = j - view.cx
        nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
        facing = nx * (rays[0, 0] * u + rays[0, 1] * v + rays[0, 2])
        facing += ny * (rays[1, 0] * u + rays[1, 1] * v + rays[1, 2])
        facing += nz * (rays[2, 0] * u + rays[2, 1] * v + rays[2, 2])
        sign = -ONE if facing > 0.0 else ONE
        out[j, 0], out[j, 1], out[j, 2] = sign * nx, sign * ny, sign * nz


@kernel(fastmath=True)
def _gain_row(
    keys: Array, v: float, view: View, normals: Array, light: Light, gains: Array
) -> None:
    """Write the factor that light puts on the colour of each hit."""
    rays, way, ambient = view.rays, light.direction, light.ambient
    if light.mode == UNLIT:
        gains[:] = ONE
        return
    for j in range(len(gains)):
        if (keys[j] >> 32) >= INFINITE:
            continue
        f = np.uint64(keys[j] & ID_BITS)
        u = j - view.cx
        dx = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
        dy = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
        dz = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
        nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
        facing = nx * dx + ny * dy + nz * dz
        if light.mode == HEADLIGHT:
            cosine = abs(facing) / np.sqrt(dx * dx + dy * dy + dz * dz)
        else:
            sign = -1.0 if facing > 0.0 else 1.0
            cosine = max(0.0, sign * (nx * way[0] + ny * way[1] + nz * way[2]))
        gains[j] = ambient + (1.0 - ambient) * cosine


@kernel(fastmath=True)
def _weight_row(
    keys: Array, v: float, view: View, origin: Array, frames: Array, weights: Array
) -> None:
    """Write the second and third barycentric coordinate of each hit, clamped to the face."""
    rays, eye = view.rays, view.eye
    ox, oy, oz = eye[0] - origin[0], eye[1] - origin[1], eye[2] - origin[2]
    for j in range(len(weights)):
        if (keys[j] >> 32) >= INFINITE:
            continue
        f = np.uint64(keys[j] & ID_BITS)
        u = j - view.cx
        t = np.int32(keys[j] >> 32).view(np.float32)
        x = np.float32(ox + t * (rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]))
        y = np.float32(oy + t * (rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]))
        z = np.float32(oz + t * (rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]))
        b = frames[f, 0] * x + frames[f, 1] * y + frames[f, 2] * z + frames[f, 3]
        c = frames[f, 4] * x + frames[f, 5] * y + frames[f, 6] * z + frames[f, 7]
        b = min(max(b, ZERO), ONE)
        weights[j, 0], weights[j, 1] = b, min(max(c, ZERO), ONE - b)


@kernel(fastmath=True)
def _plain_row(keys: Array, gains: Array, light: Light, out: Array) -> None:
    for j in range(len(out)):
        hit = (keys[j] >> 32) < INFINITE
        for k in range(3):
            lit = np.uint8(light.surface[k] * gains[j] + HALF) if hit else light.background[k]
            out[j, k] = lit


@kernel(fastmath=True)
def _painted_row(
    keys: Array, gains: Array, weights: Array, corners: Array, light: Light, out: Array
) -> None:
    for j in range(len(out)):
        if (keys[j] >> 32) >= INFINITE:
            for k in range(3):
                out[j, k] = light.background[k]
            continue
        f = np.uint64(keys[j] & ID_BITS)
        b, c = weights[j, 0], weights[j, 1]
        a = ONE - b - c
        for k in range(3):
            value = a * corners[f, 0, k] + b * corners[f, 1, k] + c * corners[f, 2, k]
            out[j, k] = np.uint8(value * gains[j] + HALF)


@kernel(fastmath=True)
def _textured_row(
    keys: Array,
    gains: Array,
    weights: Array,
    corners: Array,
    texture: Array,
    light: Light,
    out: Array,
) -> None:
    """Fetch bilinearly; texel centres lie at +.5, v points up, the image repeats."""
    height, width = texture.shape[0], texture.shape[1]
    for j in range(len(out)):
        if (keys[j] >> 32) >= INFINITE:
            for k in range(3):
                out[j, k] = light.background[k]
            continue
        f = np.uint64(keys[j] & ID_BITS)
        b, c = weights[j, 0], weights[j, 1]
        a = ONE - b - c
        u = a * corners[f, 0, 0] + b * corners[f, 1, 0] + c * corners[f, 2, 0]
        v = a * corners[f, 0, 1] + b * corners[f, 1, 1] + c * corners[f, 2, 1]
        x, y = (u - np.floor(u)) * width - HALF, (np.ceil(v) - v) * height - HALF
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        wx, wy = np.float32(x - x0), np.float32(y - y0)
        left, right = (x0 + width) % width, (x0 + 1) % width
        top, bottom = (y0 + height) % height, (y0 + 1) % height
        for k in range(3):
            upper = texture[top, left, k] * (ONE - wx) + texture[top, right, k] * wx
            lower = texture[bottom, left, k] * (ONE - wx) + texture[bottom, right, k] * wx
            out[j, k] = np.uint8((upper * (ONE - wy) + lower * wy) * gains[j] + HALF)


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
