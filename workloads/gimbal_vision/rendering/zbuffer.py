"""Z-buffer rasterisation of one view, or a band of its rows.

A face is kept as the three planes through the optical centre and one edge each (homogeneous
rasterisation; Olano and Greer, 1997). For corners p0, p1, p2 in camera space, a pixel's ray d hits
the face where the three weights (p1 x p2).d, (p2 x p0).d and (p0 x p1).d share a sign; divided by
their sum they are the barycentric coordinates in space, and z = p0.(p1 x p2) / sum. Three things
follow that a rasteriser in the image plane has to work for:

- depth is perspective-correct by construction;
- faces that cross the camera plane need no clipping, because no corner is ever divided by its z
  (only the box of pixels to visit has to be found with care);
- `a x b == -(b x a)` to the last bit, so neighbours agree on every pixel of a shared edge.

Around a corner rounding may still put a pixel centre outside all faces that meet there (regular
grids seen by symmetric cameras do have pixels exactly on corners). Hence a weight counts as
positive down to `ROUNDING` times the magnitude of its terms, some 1e-8 pixels; and a face seen so
exactly edge-on that its weights are rounding only is not drawn.

A pixel is one 64-bit key: the bits of its float32 z above the face id. Positive floats order like
integers, so the smaller key is the nearer face, then the smaller id, in whatever order faces come
and however rows are shared among threads; and a pixel is updated by a minimum without a branch.
Rounding has to be the same for both neighbours of an edge: no fastmath here.
"""

from __future__ import annotations

import numpy as np

from gimbal_vision.rendering.base import Array
from gimbal_vision.rendering.jit import Index, Real, kernel
from gimbal_vision.rendering.views import View

Vector = tuple[float, float, float]

FAR_PIXEL = 1e8
"""Pixel coordinates beyond this are clamped; every image ends long before."""

SPAN_MIN_PIXELS = 12
"""Rows at least this wide are first cut to the part inside the face."""

LANES = 4
"""Pixels tested at once without a branch: what AVX2 holds in float64."""

ROUNDING = 2e-15
"""Bound on the error of a weight relative to the squared magnitude of the corners: about 8 ulp."""

EMPTY = 0x7F800000 << 32
"""The key of a pixel without a hit: z = inf."""


@kernel()
def _cross(p: Vector, q: Vector) -> Vector:
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


@kernel()
def project(
    vertices: Array, view: View, size: tuple[int, int], points: Array, pixels: Array
) -> None:
    """Bring vertices into the view.

    Args:
        vertices: [V, 3] float64, world.
        view: `View`.
        size: Height and width of the image.
        points: Out, [V, 4] float64: (fx X, fy Y, Z) in the camera, and a magnitude m such that
            every term of a weight is below m1 m2 in all pixels.
        pixels: Out, [V, 2] float32: column and row, where pixel centres are whole numbers; NaN for
            a vertex that is not in front of the camera.
    """
    matrix, eye, cx, cy = view.matrix, view.eye, view.cx, view.cy
    reach = max(max(abs(cy), abs(size[0] - cy)), max(abs(cx), abs(size[1] - cx)))
    for i in range(len(vertices)):
        dx = vertices[i, 0] - eye[0]
        dy = vertices[i, 1] - eye[1]
        dz = vertices[i, 2] - eye[2]
        x = matrix[0, 0] * dx + matrix[0, 1] * dy + matrix[0, 2] * dz
        y = matrix[1, 0] * dx + matrix[1, 1] * dy + matrix[1, 2] * dz
        z = matrix[2, 0] * dx + matrix[2, 1] * dy + matrix[2, 2] * dz
        points[i, 0] = x
        points[i, 1] = y
        points[i, 2] = z
        points[i, 3] = abs(x) + abs(y) + reach * abs(z)
        if z > 0.0:
            pixels[i, 0] = min(max(x / z + cx, -FAR_PIXEL), FAR_PIXEL)
            pixels[i, 1] = min(max(y / z + cy, -FAR_PIXEL), FAR_PIXEL)
        else:
            pixels[i, 0] = np.nan
            pixels[i, 1] = np.nan


@kernel()
def _crossing_box(
    points: Array, corners: tuple[Index, Index, Index], axis: int, centre: float
) -> tuple[Real, Real]:
    """Return the lowest and highest pixel of a face of which some corners lie behind.

    Towards the camera plane an edge runs off to one side of the image: to the side its crossing
    point lies on. Without a corner in front the interval is empty (low > high).
    """
    low = np.float32(FAR_PIXEL)
    high = np.float32(-FAR_PIXEL)
    for k in range(3):
        a = corners[k]
        b = corners[(k + 1) % 3]
        za = points[a, 2]
        zb = points[b, 2]
        if za > 0.0:
            pixel = np.float32(min(max(points[a, axis] / za + centre, -FAR_PIXEL), FAR_PIXEL))
            low = min(low, pixel)
            high = max(high, pixel)
        if (za > 0.0) != (zb > 0.0):
            side = points[a, axis] * zb - points[b, axis] * za
            side = side if zb > 0.0 else -side
            if not side > 0.0:
                low = np.float32(-FAR_PIXEL)
            if not side < 0.0:
                high = np.float32(FAR_PIXEL)
    return low, high


@kernel()
def _planes(p: Vector, q: Vector, r: Vector) -> tuple[float, Vector, Vector, Vector]:
    """Return p.(q x r) and the edge planes, all turned so that inside is positive."""
    a, b, c = _cross(q, r), _cross(r, p), _cross(p, q)
    volume = p[0] * a[0] + p[1] * a[1] + p[2] * a[2]
    s = 1.0 if volume > 0.0 else -1.0
    return (
        s * volume,
        (s * a[0], s * a[1], s * a[2]),
        (s * b[0], s * b[1], s * b[2]),
        (s * c[0], s * c[1], s * c[2]),
    )


@kernel()
def _span(
    weights: tuple[tuple[float, float], tuple[float, float], tuple[float, float]],
    start: float,
    x0: int,
    x1: int,
) -> tuple[int, int]:
    """Cut columns x0 to x1 of a row to those where no weight a dx + r is clearly negative.

    Args:
        weights: (a, r) of each.
        start: dx of column x0.
        x0: First column.
        x1: Last column.
    """
    low, high = start - 1.0, start + (x1 - x0) + 1.0
    for a, r in weights:
        if a > 0.0:
            low = max(low, -r / a)
        elif a < 0.0:
            high = min(high, -r / a)
    if not low <= high + 2.0:
        return x0, x0 - 1
    return max(x0, x0 + int(np.floor(low - start))), min(x1, x0 + int(np.ceil(high - start)))


@kernel()
def rasterise(
    faces: Array,
    points: Array,
    pixels: Array,
    view: View,
    rows: tuple[int, int],
    columns: Array,
    keys: Array,
) -> None:
    """Draw all faces into a band of rows.

    One long function on purpose: numba counts references to every array it hands to another
    function, which for each face costs as much as drawing it.

    Rows are walked in groups of `LANES`: what lies right of the face fails the test by itself.

    Args:
        faces: [F, 3] int32, indices within bounds.
        points: [V, 4] float64 from `project`.
        pixels: [V, 2] float32 from `project`.
        view: `View`.
        rows: Image row of the band's first row, and of the row after its last.
        columns: [W + LANES] float64: column index - cx.
        keys: In and out, [at least as many rows, W + LANES] int64, filled with EMPTY beforehand.
            The last LANES columns are scratch.
    """
    cx, cy = view.cx, view.cy
    row0 = rows[0]
    right_end = np.float32(len(columns) - LANES - 1)
    top_end, bottom_end = np.float32(row0), np.float32(rows[1] - 1)
    margin = np.float32(1e-3 + 4e-7 * max(right_end, bottom_end))
    for f in range(len(faces)):
        i, j, k = np.uint64(faces[f, 0]), np.uint64(faces[f, 1]), np.uint64(faces[f, 2])
        u0, u1, u2 = pixels[i, 0], pixels[j, 0], pixels[k, 0]
        v0, v1, v2 = pixels[i, 1], pixels[j, 1], pixels[k, 1]
        left, right = min(u0, min(u1, u2)), max(u0, max(u1, u2))
        top, bottom = min(v0, min(v1, v2)), max(v0, max(v1, v2))
        if np.isnan(u0 + u1 + u2):
            left, right = _crossing_box(points, (i, j, k), 0, cx)
            top, bottom = _crossing_box(points, (i, j, k), 1, cy)
        x0 = int(np.ceil(max(left - margin, np.float32(0.0))))
        x1 = int(np.floor(min(right + margin, right_end)))
        y0 = int(np.ceil(max(top - margin, top_end)))
        y1 = int(np.floor(min(bottom + margin, bottom_end)))
        if x0 > x1 or y0 > y1:
            continue
        volume, (a0, b0, c0), (a1, b1, c1), (a2, b2, c2) = _planes(
            (points[i, 0], points[i, 1], points[i, 2]),
            (points[j, 0], points[j, 1], points[j, 2]),
            (points[k, 0], points[k, 1], points[k, 2]),
        )
        magnitude = max(points[i, 3], max(points[j, 3], points[k, 3]))
        rounding = ROUNDING * magnitude * magnitude
        if not volume > 0.0:
            continue
        for y in range(y0, y1 + 1):
            dy = y - cy
            r0, r1, r2 = b0 * dy + c0, b1 * dy + c1, b2 * dy + c2
            first, last = x0, x1
            if x1 - x0 >= SPAN_MIN_PIXELS:
                first, last = _span(((a0, r0), (a1, r1), (a2, r2)), x0 - cx, x0, x1)
            row = np.uint64(y - row0)
            for x in range(first, last + 1, LANES):
                start = np.uint64(x)
                for lane in range(LANES):
                    column = start + np.uint64(lane)
                    dx = columns[column]
                    w0, w1, w2 = a0 * dx + r0, a1 * dx + r1, a2 * dx + r2
                    total = w0 + w1 + w2
                    z = np.float32(volume / total)
                    key = (np.int64(z.view(np.int32)) << 32) | f
                    old = keys[row, column]
                    inside = (min(w0, min(w1, w2)) >= -rounding) & (total > 64.0 * rounding)
                    keys[row, column] = key if inside & (key < old) else old
