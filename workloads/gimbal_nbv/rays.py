"""What each candidate would see of the voxel grid: small ray images of a few channels.

The rays of a protocol never change, so the voxels along them are listed once; a state then costs
one walk along those lists. Rays fill the square around the ball, and only the part of a ray inside
the ball is walked, half a voxel a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.protocol import BALL_RADIUS, SphereProtocol
from gimbal_nbv.voxels import FREE, SURFACE, UNKNOWN, Codes
from gimbal_vision.rendering.jit import kernel

Images = NDArray[np.float32]

RAYS = 16
"""Rays along each side of a ray image."""

CHANNELS = (
    "hit",
    "hit_depth",
    "unknown_length",
    "open",
    "unknown_depth",
    "rear",
    "frontier",
    "new_surface",
    "closeness",
    "new_side",
    "opposite",
)
"""What a ray tells, each in 0..1.

hit: it meets a known surface; hit_depth: where, as a share of the ball's diameter (0 without);
unknown_length: unknown before that surface; open: any unknown before it; unknown_depth: where the
first unknown lies (1 without); rear: the surface is entered out of unknown, hence from behind;
frontier: unknown voxels next to free ones; new_surface: chance of a new surface if unknown voxels
near known surface are likely surface; closeness: nearness of the ray's unknown to known surface;
new_side: half of 1 - cos between this view and the nearest one that measured the surface it meets;
opposite: that angle exceeds a right angle.
"""

_DECAY_VOXELS = 1.5
_CHANCE = 0.35


@dataclass(frozen=True)
class RayTable:
    """The voxels along every ray of every candidate.

    Attributes:
        voxels: Flat voxel indices, ray after ray.
        starts: First entry of each ray, int32 [M * RAYS^2 + 1].
        entry: Where a ray enters the ball, as a share of the diameter [M * RAYS^2].
        step: Length of a step as a share of the diameter.
    """

    voxels: NDArray[np.int32]
    starts: NDArray[np.int32]
    entry: Images
    step: float


@lru_cache(maxsize=8)
def ray_table(protocol: SphereProtocol) -> RayTable:
    """List the voxels along the rays of a protocol's candidates."""
    grid, diameter = protocol.grid, 2 * BALL_RADIUS
    step = diameter / grid / 2
    tangent = BALL_RADIUS / np.sqrt(protocol.radius**2 - BALL_RADIUS**2)
    u = (2 * (np.arange(RAYS) + 0.5) / RAYS - 1) * tangent
    down, right = np.meshgrid(u, u, indexing="ij")
    local = np.stack([right, down, np.ones_like(right)], axis=-1).reshape(-1, 3)
    local /= np.linalg.norm(local, axis=1, keepdims=True)
    along = protocol.radius * local[:, 2]
    half = np.sqrt(np.maximum(BALL_RADIUS**2 - protocol.radius**2 + along**2, 0))
    counts = np.ceil(2 * half / step).astype(int)
    ray = np.repeat(np.arange(len(local)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    distance = (along - half)[ray] + (number + 0.5) * step
    lists = []
    for pose in protocol.cameras.cam2world:
        points = pose[:3, 3] + distance[:, None] * (local[ray] @ pose[:3, :3].T)
        cells = np.clip(np.floor((points / diameter + 0.5) * grid).astype(int), 0, grid - 1)
        lists.append((cells @ [grid * grid, grid, 1]).astype(np.int32))
    starts = np.concatenate([[0], np.cumsum(np.tile(counts, protocol.views))])
    entry = (along - half - (protocol.radius - BALL_RADIUS)) / diameter
    return RayTable(
        voxels=np.concatenate(lists),
        starts=starts.astype(np.int32),
        entry=np.tile(entry, protocol.views).astype(np.float32),
        step=step / diameter,
    )


def ray_images(
    codes: Codes,
    observers: NDArray[np.uint16],
    used: NDArray[np.integer[Any]],
    protocol: SphereProtocol,
) -> Images:
    """Return what every candidate would see.

    Args:
        codes: Voxel codes of the state [grid, grid, grid].
        observers: Bit n of a voxel: the n-th used view measured a point in it [grid^3].
        used: The state's views, in the order of those bits.
        protocol: Names the candidates.

    Returns:
        float32 [M, RAYS, RAYS, channels].
    """
    table = ray_table(protocol)
    frontier, nearness = annotate(codes)
    cosines = (protocol.directions @ protocol.directions[used].T).astype(np.float32)
    images = np.zeros((protocol.views, RAYS * RAYS, len(CHANNELS)), np.float32)
    _walk(
        codes.reshape(-1), frontier, nearness, observers, cosines,
        table.voxels, table.starts, table.entry, np.float32(table.step), images,
    )  # fmt: skip
    return images.reshape(protocol.views, RAYS, RAYS, len(CHANNELS))


def annotate(codes: Codes) -> tuple[NDArray[np.uint8], Images]:
    """Return which unknown voxels touch free ones, and how near each voxel is to known surface.

    Returns:
        uint8 [grid^3] and float32 [grid^3]: exp(-distance / 1.5 voxels), by a chamfer transform.
    """
    grid = codes.shape[0]
    frontier = np.zeros(grid**3, np.uint8)
    distance = np.full(codes.shape, 1e3, np.float32)
    _mark(codes, frontier, distance)
    return frontier, np.exp(distance.reshape(-1) * np.float32(-1 / _DECAY_VOXELS))


@kernel()
def _mark(codes: Any, frontier: Any, distance: Any) -> None:
    grid = codes.shape[0]
    for i in range(grid):
        for j in range(grid):
            for k in range(grid):
                if codes[i, j, k] == SURFACE:
                    distance[i, j, k] = 0
                elif codes[i, j, k] == UNKNOWN and (
                    (i > 0 and codes[i - 1, j, k] == FREE)
                    or (i < grid - 1 and codes[i + 1, j, k] == FREE)
                    or (j > 0 and codes[i, j - 1, k] == FREE)
                    or (j < grid - 1 and codes[i, j + 1, k] == FREE)
                    or (k > 0 and codes[i, j, k - 1] == FREE)
                    or (k < grid - 1 and codes[i, j, k + 1] == FREE)
                ):
                    frontier[(i * grid + j) * grid + k] = 1
    for sweep in range(2):
        sign = 1 - 2 * sweep
        for a in range(grid):
            i = a if sweep == 0 else grid - 1 - a
            for b in range(grid):
                j = b if sweep == 0 else grid - 1 - b
                for c in range(grid):
                    k = c if sweep == 0 else grid - 1 - c
                    best = distance[i, j, k]
                    for di in range(-1, 1):
                        for dj in range(-1, 2):
                            for dk in range(-1, 2):
                                if di == 0 and (dj > 0 or (dj == 0 and dk >= 0)):
                                    continue
                                x, y, z = i + sign * di, j + sign * dj, k + sign * dk
                                if 0 <= x < grid and 0 <= y < grid and 0 <= z < grid:
                                    far = np.sqrt(np.float32(di * di + dj * dj + dk * dk))
                                    best = min(best, distance[x, y, z] + far)
                    distance[i, j, k] = best


@kernel()
def _walk(
    codes: Any, frontier: Any, nearness: Any, observers: Any, cosines: Any,
    voxels: Any, starts: Any, entry: Any, step: Any, images: Any,
) -> None:  # fmt: skip
    views, rays, _ = images.shape
    for view in range(views):
        for ray in range(rays):
            number = view * rays + ray
            begin, end = starts[number], starts[number + 1]
            out = images[view, ray]
            unknown, border, closest, clear = 0, 0, np.float32(0), np.float32(1)
            first, hit = -1, -1
            behind = False
            for s in range(begin, end):
                voxel = voxels[s]
                code = codes[voxel]
                if code == SURFACE:
                    hit = s
                    break
                behind = code == UNKNOWN
                if behind:
                    if first < 0:
                        first = s - begin
                    unknown += 1
                    border += frontier[voxel]
                    closest = max(closest, nearness[voxel])
                    clear *= 1 - np.float32(_CHANCE) * nearness[voxel]
            out[2] = unknown * step
            out[3] = unknown > 0
            out[4] = entry[number] + first * step if first >= 0 else 1
            out[6] = border * step
            out[7] = 1 - clear
            out[8] = closest
            if hit >= 0:
                out[0] = 1
                out[1] = entry[number] + (hit - begin) * step
                if behind:
                    out[5] = 1
                else:
                    near = np.float32(-1)
                    seen = observers[voxels[hit]]
                    for n in range(cosines.shape[1]):
                        if (seen >> n) & 1:
                            near = max(near, cosines[view, n])
                    out[9] = 0.5 * (1 - near)
                    out[10] = near < 0
