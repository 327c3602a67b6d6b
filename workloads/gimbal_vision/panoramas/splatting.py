"""Throw every pixel of every camera onto the panorama by its depth; the nearest surface stays.

Within one panorama pixel and one surface (ranges that agree) the point closest to the pixel's
centre wins, not the nearest: on a road seen at a grazing angle, the nearest of the points that
share a pixel is systematically too near, by a tenth of its range at 30 m.

The azimuth is a polynomial (error below 1e-5 rad, 1/500 of a pixel) so that whole rows are computed
in vector registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.rendering.jit import kernel

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ids = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@kernel()
def _arc(y: np.float32, x: np.float32) -> np.float32:
    """Return atan2(y, x), within 1e-5 rad, without a branch."""
    ay, ax = abs(y), abs(x)
    a = min(ay, ax) / max(max(ay, ax), np.float32(1e-30))
    s = a * a
    p = np.float32(0.05265332) + s * np.float32(-0.01172120)
    p = np.float32(0.19354346) + s * (np.float32(-0.11643287) + s * p)
    r = a * (np.float32(0.99997726) + s * (np.float32(-0.33262347) + s * p))
    r = np.float32(np.pi / 2) - r if ay > ax else r
    r = np.float32(np.pi) - r if x < np.float32(0) else r
    return -r if y < np.float32(0) else r


@kernel()
def _aim_row(depth: Floats, rays: Floats, pose: Floats, panorama: Floats, out: Floats) -> None:
    """Write range, column and row of each pixel of one image row into `out` [3, w].

    Args:
        depth: [w] z-depths.
        rays: [w + 1] x of each pixel's ray with z = 1, then the row's y.
        pose: [12] row by row the rotation into the car's frame, then the translation.
        panorama: [7] height, width, fy, cy, whether it is a cylinder (1 or 0), range above which
            depth is sky, and the relative difference of ranges up to which two points are of one
            surface.
        out: Range -1 where nothing is to be thrown.
    """
    y = rays[-1]
    bx, by, bz = (
        pose[1] * y + pose[2],
        pose[4] * y + pose[5],
        pose[7] * y + pose[8],
    )
    width, fy, cy, cylinder, limit = panorama[1:6]
    per_radian = width / np.float32(2 * np.pi)
    for i in range(depth.size):
        z, x = depth[i], rays[i]
        known = (z > np.float32(0)) & (z * np.sqrt(np.float32(1) + x * x + y * y) <= limit)
        px = z * (pose[0] * x + bx) + pose[9]
        py = z * (pose[3] * x + by) + pose[10]
        pz = z * (pose[6] * x + bz) + pose[11]
        level = np.sqrt(px * px + pz * pz)
        tangent = py / max(level, np.float32(1e-30))
        rise = tangent if cylinder > np.float32(0) else _arc(py, level)
        out[0, i] = np.sqrt(level * level + py * py) if known else np.float32(-1)
        out[1, i] = (_arc(px, pz) * per_radian) + np.float32(0.5) * width
        out[2, i] = cy + fy * rise


@kernel()
def splat(
    depth: Floats,
    rays: tuple[Floats, Floats],
    pose: Floats,
    panorama: Floats,
    source: tuple[int, int],
    nearest: tuple[Floats, Floats, Ids, Bytes],
) -> None:
    """Throw one camera's pixels onto the panorama.

    Args:
        depth: [h, w] z-depth; 0 or not finite is unknown.
        rays: [w] x and [h] y of the pixels' rays with z = 1.
        pose: See `_aim_row`.
        panorama: See `_aim_row`.
        source: int of the camera, and of its first pixel among those of all cameras.
        nearest: For each panorama pixel, flat: range (inf so far where none), squared distance of
            the point from the pixel's centre, index of the pixel it came from, and its camera.
    """
    agree = panorama[6]
    camera, first = source
    best, offset, pixel, by = nearest
    h, w = depth.shape
    height, width = np.int32(panorama[0]), np.int32(panorama[1])
    row_rays = np.empty(w + 1, np.float32)
    row_rays[:w] = rays[0]
    out = np.empty((3, w), np.float32)
    one = np.float32(1)
    for j in range(h):
        row_rays[w] = rays[1][j]
        _aim_row(depth[j], row_rays, pose, panorama, out)
        for i in range(w):
            r, u, v = out[0, i], out[1, i], out[2, i]
            if not (r > np.float32(0) and v >= np.float32(0) and v < panorama[0]):
                continue
            column, row = min(np.int32(u), width - 1), min(np.int32(v), height - 1)
            du, dv = u - column - np.float32(0.5), v - row - np.float32(0.5)
            d = du * du + dv * dv
            k = row * width + column
            closer = r < best[k] * (one - agree)
            if closer or (r <= best[k] * (one + agree) and d < offset[k]):
                best[k], offset[k], by[k] = r, d, camera
                pixel[k] = first + j * w + i


@kernel()
def _gap(ranges: Floats, k: int, step: int, reach: tuple[int, int, int]) -> np.float32:
    """Return what bridges the gap at flat index k along one axis, or 0.

    The gap's two ends must be known, and it must not be longer than `reach[0]`. The farther end is
    taken: what opens between two surfaces shows the one behind.

    Args:
        ranges: [H * W].
        k: int of the gap.
        step: 1 along the row, W along the column.
        reach: Longest gap, position along the axis, length of the axis (negative: it wraps).
    """
    longest, position, length = reach
    size = abs(length)
    ends = (np.float32(0), np.float32(0))
    total = 1
    for side in range(2):
        found = np.float32(0)
        for n in range(1, longest + 1):
            p = position + (n if side else -n)
            if length < 0:
                p %= size
            if p < 0 or p >= size:
                break
            r = ranges[k + (p - position) * step]
            if r < np.float32(np.inf):
                found = r
                total += n - 1
                break
        ends = (found, ends[0])
    both = ends[0] > np.float32(0) and ends[1] > np.float32(0) and total <= longest
    return max(ends[0], ends[1]) if both else np.float32(0)


@kernel()
def fill_holes(ranges: Floats, shape: tuple[int, int], longest: int) -> Floats:
    """Return [H * W] ranges whose holes of at most `longest` pixels are bridged.

    Args:
        ranges: [H * W], inf where nothing is known.
        shape: H, W.
        longest: Pixels; 0 bridges nothing.
    """
    height, width = shape
    filled = ranges.copy()
    for row in range(height):
        for column in range(width):
            k = row * width + column
            if ranges[k] < np.float32(np.inf):
                continue
            along = _gap(ranges, k, 1, (longest, column, -width))
            down = _gap(ranges, k, width, (longest, row, height))
            bridge = max(along, down)
            if bridge > np.float32(0):
                filled[k] = bridge
    return filled
