"""Given ranges of a panorama, look its colours up where each point really is.

A camera may colour a point only if it measured a range there that agrees: otherwise something
nearer hides the point from that camera, and its colour is another surface's. The comparison takes
the four measurements around the point: on a road at a grazing angle, neighbouring pixels alone
differ by more than the 5 % that are allowed. (One file, because numba renews its cache by file.)
"""

from __future__ import annotations

import numpy as np

from gimbal_vision.panoramas import packing as pk
from gimbal_vision.panoramas.packing import Bytes, Cameras, Floats, Point, Scene, Settings, Sight
from gimbal_vision.rendering.jit import kernel


@kernel()
def _project(point: Point, n: int, cameras: Cameras, least: float) -> Sight:
    """Return u, v, range and cosine of a car-frame point; the cosine is -2 where it is unseen."""
    x, y, z = point[0] - cameras[n, 7], point[1] - cameras[n, 11], point[2] - cameras[n, 15]
    cz = cameras[n, 6] * x + cameras[n, 10] * y + cameras[n, 14] * z
    if cz <= 0.0:
        return 0.0, 0.0, 0.0, -2.0
    r = np.sqrt(x * x + y * y + z * z)
    cx = cameras[n, 4] * x + cameras[n, 8] * y + cameras[n, 12] * z
    cy = cameras[n, 5] * x + cameras[n, 9] * y + cameras[n, 13] * z
    u, v = cameras[n, 0] * cx / cz + cameras[n, 2], cameras[n, 1] * cy / cz + cameras[n, 3]
    inside = -1e-6 <= u <= cameras[n, 17] + 1e-6 and -1e-6 <= v <= cameras[n, 16] + 1e-6
    return u, v, r, cz / r if inside and cz > least * r else -2.0


@kernel()
def _range_at(row: int, column: int, n: int, cameras: Cameras, depths: Floats) -> float:
    """Return the range measured at a pixel, relative to its camera; 0 if unknown."""
    z = depths[int(cameras[n, 18]) + row * int(cameras[n, 17]) + column]
    if not (z > 0.0 and z < np.inf):
        return 0.0
    x = (column + 0.5 - cameras[n, 2]) / cameras[n, 0]
    y = (row + 0.5 - cameras[n, 3]) / cameras[n, 1]
    return float(z * np.sqrt(1.0 + x * x + y * y))


@kernel()
def _held(value: float, size: float) -> int:
    """Return the pixel a continuous coordinate lies in, inside the image."""
    return int(min(max(value, 0.0), size - 1.0))


@kernel()
def _measured(at: Sight, n: int, cameras: Cameras, depths: Floats) -> float:
    """Return the range measured at the nearest pixel, 0 if unknown."""
    row, column = _held(at[1], cameras[n, 16]), _held(at[0], cameras[n, 17])
    return _range_at(row, column, n, cameras, depths)


@kernel()
def _agrees(at: Sight, n: int, cameras: Cameras, depths: Floats, agree: float) -> bool:
    """Tell whether a camera measured about the range `at[2]` around the pixel (u, v)."""
    r, least, most = at[2], np.inf, 0.0
    if abs(_measured(at, n, cameras, depths) - r) <= agree * r:
        return True
    for k in range(4):
        corner = (at[0] - 0.5 + k % 2, at[1] - 0.5 + k // 2, r, 1.0)
        measured = _measured(corner, n, cameras, depths)
        least, most = min(least, measured), max(most, measured)
    within = least * (1.0 - agree) <= r <= most * (1.0 + agree)
    return within and 0.0 < most <= pk.SAME_SLOPE * least


@kernel()
def _tap(pixel: int, share: float, z: float, depths: Floats, images: Bytes) -> Sight:
    """Return a neighbour's colour times its share, and the share: 0 beyond an edge from depth z."""
    other = depths[pixel]
    if z > 0.0 and not z <= pk.SAME_SLOPE * other <= pk.SAME_SLOPE**2 * z:
        share = 0.0
    return share * images[pixel, 0], share * images[pixel, 1], share * images[pixel, 2], share


@kernel()
def _colour(at: Sight, n: int, cameras: Cameras, depths: Floats, images: Bytes) -> Point:
    """Return the colour at (u, v), bilinear among pixels of one surface, borders repeated.

    Plain interpolation would draw the outline of what is near once more on what is behind it.
    """
    height, width = int(cameras[n, 16]), int(cameras[n, 17])
    x, y = min(max(at[0] - 0.5, 0.0), width - 1.0), min(max(at[1] - 0.5, 0.0), height - 1.0)
    column, row = int(x), int(y)
    fx, fy = x - column, y - row
    a = int(cameras[n, 18]) + row * width + column
    right, below = (1 if column < width - 1 else 0), (width if row < height - 1 else 0)
    z = depths[a + (right if fx >= 0.5 else 0) + (below if fy >= 0.5 else 0)]
    p = _tap(a, (1 - fx) * (1 - fy), z, depths, images)
    q = _tap(a + right, fx * (1 - fy), z, depths, images)
    r = _tap(a + below, (1 - fx) * fy, z, depths, images)
    s = _tap(a + below + right, fx * fy, z, depths, images)
    total = p[3] + q[3] + r[3] + s[3]
    return (
        (p[0] + q[0] + r[0] + s[0]) / total,
        (p[1] + q[1] + r[1] + s[1]) / total,
        (p[2] + q[2] + r[2] + s[2]) / total,
    )


@kernel()
def _ramp(t: float) -> float:
    """Return the smoothstep of t."""
    t = min(max(t, 0.0), 1.0)
    return float(t * t * (3.0 - 2.0 * t))


@kernel()
def _border(at: Sight, n: int, cameras: Cameras) -> float:
    """Return pixels from the closest border of the image."""
    across, down = min(at[0], cameras[n, 17] - at[0]), min(at[1], cameras[n, 16] - at[1])
    return float(max(min(across, down), 0.0))


@kernel()
def _passes(
    at: Sight, test: int, n: int, cameras: Cameras, depths: Floats, settings: Settings
) -> bool:
    """Tell whether a camera that sees a point at `at` measured what `test` asks for."""
    if test == pk.AGREES:
        return _agrees(at, n, cameras, depths, settings[1])
    return test == pk.IS_SEEN or _measured(at, n, cameras, depths) > settings[2]


@kernel()
def _gather(
    point: Point,
    test: int,
    cameras: Cameras,
    scene: Scene,
    settings: Settings,
    borders: pk.Doubles,
) -> tuple[int, float, Point]:
    """Mix the colours of all cameras that pass a test, as `blending.blend_weights` has it.

    Returns the camera of most weight (-1: none), the cosine of the turn of its colour, the colour.
    """
    depths, images = scene
    feather, most, second = settings[3], -1.0, -1.0
    for n in range(len(cameras)):
        at = _project(point, n, cameras, settings[0])
        seen = at[3] > -1.0 and _passes(at, test, n, cameras, depths, settings)
        borders[n] = _border(at, n, cameras) if seen else -1.0
        second = max(second, min(most, borders[n]))
        most = max(most, borders[n])
    best, best_weight, best_at = -1, 0.0, (0.0, 0.0, 0.0, -2.0)
    red, green, blue, total = 0.0, 0.0, 0.0, 0.0
    for n in range(len(cameras)):
        if borders[n] < 0.0:
            continue
        at, weight = _project(point, n, cameras, settings[0]), 1.0
        if feather > 0.0:
            lead = borders[n] - (second if borders[n] == most else most)
            lead = 2.0 * feather if second < 0.0 else lead
            weight = max(_ramp(borders[n] / feather), 1e-6) * _ramp(0.5 + lead / (2.0 * feather))
            r, g, b = _colour(at, n, cameras, depths, images)
            red, green, blue = red + weight * r, green + weight * g, blue + weight * b
            total += weight
        if (weight, at[3]) > (best_weight, best_at[3]):
            best, best_weight, best_at = n, weight, at
    if best < 0:
        return best, 1.0, (0.0, 0.0, 0.0)
    colour = (red / total, green / total, blue / total)
    if feather <= 0.0:
        colour = _colour(best_at, best, cameras, depths, images)
    return best, _cosine_from(point, best, cameras), colour


@kernel()
def _cosine_from(point: Point, n: int, cameras: Cameras) -> float:
    """Return the cosine between a point seen from the origin and seen from a camera."""
    x, y, z = point[0] - cameras[n, 7], point[1] - cameras[n, 11], point[2] - cameras[n, 15]
    sizes = (x * x + y * y + z * z) * (point[0] ** 2 + point[1] ** 2 + point[2] ** 2)
    return float((point[0] * x + point[1] * y + point[2] * z) / np.sqrt(max(sizes, 1e-30)))


@kernel()
def colour_points(
    points: tuple[Floats, Floats, pk.Doubles],
    origin: tuple[pk.Ids, Bytes],
    cameras: Cameras,
    scene: Scene,
    settings: Settings,
    out: tuple[Bytes, Bytes, Bytes, Floats],
) -> None:
    """Colour every covered pixel by where its point really is.

    Args:
        points: Ranges [P] from the centre, inf where none is known; what they become instead if a
            camera confirms it, inf where there is no such guess; unit directions [P, 3].
        origin: Pixel and camera each range was measured at (-1: none), for what none confirms.
        cameras: See `packing`, as for scene and settings.
        scene: Depths and colours.
        settings: Thresholds.
        out: rgb [P, 3], camera [P], state [P] (not 0 on entry where covered), and [P] the cosine.
    """
    ranges, guesses, rays = points
    pixels, owners = origin
    depths, images = scene
    rgb, index, state, turned = out
    borders = np.empty(len(cameras))
    for k in range(ranges.size):
        if state[k] == 0:
            continue
        d = (rays[k, 0], rays[k, 1], rays[k, 2])
        camera, cosine, colour = -1, 1.0, (0.0, 0.0, 0.0)
        for size in (float(guesses[k]), float(ranges[k])):
            if camera < 0 and size < np.inf:
                point = (size * d[0], size * d[1], size * d[2])
                camera, cosine, colour = _gather(
                    point, pk.AGREES, cameras, scene, settings, borders
                )
                if camera >= 0:
                    ranges[k] = size
        state[k] = pk.KNOWN
        if camera < 0 and pixels[k] >= 0:
            camera, p = owners[k], pixels[k]
            colour = (float(images[p, 0]), float(images[p, 1]), float(images[p, 2]))
        if camera < 0:
            state[k] = pk.SKY
            far = (pk.FAR_M * d[0], pk.FAR_M * d[1], pk.FAR_M * d[2])
            camera, cosine, colour = _gather(far, pk.IS_SKY, cameras, scene, settings, borders)
            if camera < 0:
                camera, cosine, colour = _gather(far, pk.IS_SEEN, cameras, scene, settings, borders)
                at = _project(far, camera, cameras, settings[0])
                measured = _measured(at, camera, cameras, depths)
                state[k] = pk.HIDDEN if measured > 0.0 else pk.UNKNOWN
        index[k], turned[k] = camera, cosine
        for channel in range(3):
            rgb[k, channel] = np.uint8(colour[channel] + 0.5)


@kernel()
def _surface_range(
    d: Point, r: float, n: int, cameras: Cameras, depths: Floats, settings: Settings
) -> float:
    """Return the range from the centre of what a camera sees where r d would be; inf if none."""
    at = _project((r * d[0], r * d[1], r * d[2]), n, cameras, settings[0])
    if at[3] < -1.0 or not 0.0 < _measured(at, n, cameras, depths) <= settings[2]:
        return np.inf
    row, column = _held(at[1], cameras[n, 16]), _held(at[0], cameras[n, 17])
    z = float(depths[int(cameras[n, 18]) + row * int(cameras[n, 17]) + column])
    x = (column + 0.5 - cameras[n, 2]) / cameras[n, 0]
    y = (row + 0.5 - cameras[n, 3]) / cameras[n, 1]
    total = 0.0
    for i in range(4, 16, 4):
        p = cameras[n, i] * x + cameras[n, i + 1] * y + cameras[n, i + 2]
        total += (z * p + cameras[n, i + 3]) ** 2
    return float(np.sqrt(total))


@kernel()
def _solve(
    d: Point, start: float, n: int, cameras: Cameras, depths: Floats, settings: Settings
) -> float:
    """Return the range r at which a camera sees a surface just where it sees r d; inf if none.

    r = g(r) by three lookups. The plain iteration oscillates on a road (its factor is
    1 - h / h_camera, -0.9 for a camera at half the centre's height), so the third is made where the
    first two lead to if g is linear.
    """
    first = _surface_range(d, start, n, cameras, depths, settings)
    second = _surface_range(d, first, n, cameras, depths, settings)
    if not (first < np.inf and second < np.inf):
        return np.inf
    factor = (second - first) / (first - start) if abs(first - start) > 1e-9 else 0.0
    factor = min(max(factor, -8.0), 0.8)
    r = first + (second - first) / (1.0 - factor)
    at = _project((r * d[0], r * d[1], r * d[2]), n, cameras, settings[0])
    found = r > 0.0 and at[3] > -1.0 and _agrees(at, n, cameras, depths, settings[1])
    return r if found else np.inf


@kernel()
def solve_ranges(
    rays: pk.Doubles, covered: Bytes, cameras: Cameras, depths: Floats, settings: Settings
) -> Floats:
    """Return [P] ranges from the centre, inf where none is found, by inverse iteration.

    Each camera that sees a ray by rotation gives a start for all; the nearest solution is seen.
    What is near and so thin that no start is on it is not found.
    """
    ranges = np.full(covered.size, np.inf, np.float32)
    for k in range(covered.size):
        if covered[k] == 0:
            continue
        d = (rays[k, 0], rays[k, 1], rays[k, 2])
        far = (pk.FAR_M * d[0], pk.FAR_M * d[1], pk.FAR_M * d[2])
        for giver in range(len(cameras)):
            if _project(far, giver, cameras, settings[0])[3] < -1.0:
                continue
            start = _surface_range(d, pk.FAR_M, giver, cameras, depths, settings)
            for n in range(len(cameras)):
                r = _solve(d, min(start, settings[2]), n, cameras, depths, settings)
                ranges[k] = min(ranges[k], np.float32(r))
    return ranges
