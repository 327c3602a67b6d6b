"""Throw measurements onto the panorama: camera pixels with depth, and points; the nearest stays.

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
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Array = np.ndarray[Any, np.dtype[Any]]
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
def _aim_points(points: Floats, panorama: Doubles, out: Doubles) -> None:
    """Write range, column and row of points [w, 3] of the car's frame into `out` [3, w].

    In double precision: rings of a LiDAR often lie on the very borders of rows.

    Args:
        points: Those that are not finite are not thrown.
        panorama: See `_aim_row`.
        out: Range -1 where nothing is to be thrown.
    """
    width, fy, cy, cylinder, limit = panorama[1:6]
    for i in range(len(points)):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        level = np.sqrt(x * x + z * z)
        r = np.sqrt(level * level + y * y)
        rise = y / max(level, 1e-30) if cylinder > 0.0 else np.arctan2(y, level)
        out[0, i] = r if 0.0 < r <= limit else -1.0
        out[1, i] = width * (np.arctan2(x, z) / (2.0 * np.pi) + 0.5)
        out[2, i] = cy + fy * rise


@kernel()
def _keep(
    aimed: Array,
    panorama: Array,
    source: tuple[int, int],
    nearest: tuple[Floats, Floats, Ids, Bytes],
) -> None:
    """Enter what was aimed [3, w] into the panorama where it is nearest.

    Args:
        aimed: Range, column and row.
        panorama: See `_aim_row`.
        source: int of the camera, and index of the first pixel; the others follow.
        nearest: See `splat`.
    """
    agree = panorama[6]
    camera, first = source
    best, offset, pixel, by = nearest
    height, width = np.int32(panorama[0]), np.int32(panorama[1])
    one = np.float32(1)
    for i in range(aimed.shape[1]):
        r, u, v = aimed[0, i], aimed[1, i], aimed[2, i]
        if not (r > np.float32(0) and v >= np.float32(0) and v < panorama[0]):
            continue
        column, row = min(np.int32(u), width - 1), min(np.int32(v), height - 1)
        du, dv = u - column - np.float32(0.5), v - row - np.float32(0.5)
        d = du * du + dv * dv
        k = row * width + column
        closer = r < best[k] * (one - agree)
        if closer or (r <= best[k] * (one + agree) and d < offset[k]):
            best[k], offset[k], by[k] = r, d, camera
            pixel[k] = first + i


@kernel()
def splat_points(
    points: Floats, panorama: Doubles, nearest: tuple[Floats, Floats, Ids, Bytes]
) -> None:
    """Throw points [P, 3] of the car's frame onto the panorama; they are of no camera and pixel.

    Args:
        points: Those that are not finite are left out.
        panorama: See `_aim_row`; in double precision.
        nearest: See `splat`; pixel indices are of no use afterwards.
    """
    aimed = np.empty((3, len(points)))
    _aim_points(points, panorama, aimed)
    _keep(aimed, panorama, (255, 0), nearest)


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
    camera, first = source
    h, w = depth.shape
    row_rays = np.empty(w + 1, np.float32)
    row_rays[:w] = rays[0]
    out = np.empty((3, w), np.float32)
    for j in range(h):
        row_rays[w] = rays[1][j]
        _aim_row(depth[j], row_rays, pose, panorama, out)
        _keep(out, panorama, (camera, first + j * w), nearest)


@kernel()
def _end(ranges: Floats, walk: tuple[int, int, int, int, int], below: np.float32) -> np.float32:
    """Return the first range under `below` along a walk from one pixel, and -1 if there is none.

    Args:
        ranges: [H * W].
        walk: Flat index of the pixel, its position along the axis, the axis' length, the stride of
            the flat index, and signed how far to go. A stride of 1 is along a row, which is closed.
        below: Upper limit.
    """
    k, position, length, stride, reach = walk
    sign = 1 if reach > 0 else -1
    for n in range(sign, reach + sign, sign):
        p = position + n
        if stride == 1:
            p %= length
        elif p < 0 or p >= length:
            return np.float32(-1)
        r = np.float32(ranges[k + (p - position) * stride])
        if r < below:
            return r
    return np.float32(-1)


@kernel()
def bridge_gaps(ranges: Floats, shape: tuple[int, int], longest: int, agree: float) -> Floats:
    """Return [H * W] what short gaps would be if the surfaces at both their ends went on; else inf.

    A gap is where nothing was thrown or, between points of one surface that lie too thin, something
    behind it shows through. Of two surfaces the farther is taken: what opens between them shows
    what is behind. These are guesses; `resolving.colour_points` keeps those some camera confirms.

    Args:
        ranges: [H * W], inf where nothing was thrown.
        shape: H, W.
        longest: Longest gap in pixels.
        agree: Relative difference up to which ranges are of one surface.
    """
    height, width = shape
    bridges = np.full(ranges.size, np.inf, np.float32)
    for k in range(ranges.size):
        r = ranges[k]
        empty = not r < np.float32(np.inf)
        below = r if empty else r * np.float32(1 - agree)
        best = np.float32(-1)
        for along in range(2):
            position, length = (k % width, width) if along else (k // width, height)
            stride = 1 if along else width
            for n in range(1, longest + 1):
                a = _end(ranges, (k, position, length, stride, n), below)
                b = _end(ranges, (k, position, length, stride, n - longest - 1), below)
                one_surface = abs(a - b) <= np.float32(agree) * max(a, b)
                if min(a, b) > np.float32(0) and (empty or one_surface):
                    best = max(best, max(a, b))
        if best > np.float32(0):
            bridges[k] = best
    return bridges
