"""Occupancy from depth: each view carves a grid, and view sets combine by OR.

A view leaves two bits a voxel, `free` and `surface`. The bits of a view set are the OR of its
views' bits, so any set costs a few thousand integer operations. A voxel is surface where any view
measured a point in it, else free where any view looked through its centre, else unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.protocol import BALL_RADIUS, SphereProtocol
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.rendering.jit import kernel

UNKNOWN, FREE, SURFACE = 0, 1, 2

Words = NDArray[np.uint64]
Codes = NDArray[np.uint8]


def carve(
    depth: NDArray[np.float32], protocol: SphereProtocol, views: NDArray[np.int_] | None = None
) -> tuple[Words, Words]:
    """Turn depth images of a protocol's candidates into bits.

    Args:
        depth: z-depth [N,H,W] in diagonals, 0 where nothing was hit.
        protocol: Grid size and cameras.
        views: The candidate each image was taken from [N]; all of them in order by default.

    Returns:
        See `carve_from`.
    """
    cameras = protocol.cameras_of(depth.shape[1])
    chosen = np.arange(len(depth)) if views is None else views
    return carve_from(depth, cameras[chosen], protocol.grid)


def carve_from(
    depth: NDArray[np.float32], cameras: PinholeCameras, grid: int
) -> tuple[Words, Words]:
    """Turn depth images of any cameras into bits.

    Args:
        depth: z-depth [N,H,W] in diagonals, 0 where nothing was hit.
        cameras: The N cameras, where they are believed to stand.
        grid: Voxels along each side.

    Returns:
        Free and surface bits, uint64 [N, grid^3 / 64]; voxel (i, j, k) along x, y, z is bit
        `i * grid^2 + j * grid + k`, lowest bit first. Voxels outside the ball count as free.
    """
    free = np.zeros((len(depth), (grid**3 + 63) // 64), np.uint64)
    surface = np.zeros_like(free)
    images = np.ascontiguousarray(depth, np.float32)
    for n in range(len(depth)):
        _carve_view(images[n], cameras.K[n], cameras.cam2world[n], grid, free[n], surface[n])
    return free, surface


@kernel()
def _carve_view(
    depth: NDArray[np.float32],
    K: NDArray[np.float64],
    pose: NDArray[np.float64],
    grid: int,
    free: Words,
    surface: Words,
) -> None:
    height, width = depth.shape
    size = 2 * BALL_RADIUS / grid
    reach = (BALL_RADIUS + 0.5 * size) ** 2
    one = np.uint64(1)
    for i in range(grid):
        x = (i + 0.5) * size - BALL_RADIUS
        for j in range(grid):
            y = (j + 0.5) * size - BALL_RADIUS
            for k in range(grid):
                z = (k + 0.5) * size - BALL_RADIUS
                seen = x * x + y * y + z * z > reach
                if not seen:
                    dx, dy, dz = x - pose[0, 3], y - pose[1, 3], z - pose[2, 3]
                    far = dx * pose[0, 2] + dy * pose[1, 2] + dz * pose[2, 2]
                    right = dx * pose[0, 0] + dy * pose[1, 0] + dz * pose[2, 0]
                    down = dx * pose[0, 1] + dy * pose[1, 1] + dz * pose[2, 1]
                    column = int(np.floor(K[0, 0] * right / far + K[0, 2]))
                    row = int(np.floor(K[1, 1] * down / far + K[1, 2]))
                    if 0 <= row < height and 0 <= column < width:
                        hit = depth[row, column]
                        seen = hit == 0 or far < hit - 0.5 * size
                if seen:
                    index = (i * grid + j) * grid + k
                    free[index >> 6] |= one << np.uint64(index & 63)
    for row in range(height):
        for column in range(width):
            hit = depth[row, column]
            if hit > 0:
                right = (column + 0.5 - K[0, 2]) / K[0, 0] * hit
                down = (row + 0.5 - K[1, 2]) / K[1, 1] * hit
                index = 0
                for axis in range(3):
                    at = (
                        pose[axis, 0] * right
                        + pose[axis, 1] * down
                        + pose[axis, 2] * hit
                        + pose[axis, 3]
                    )
                    cell = int(np.floor((at + BALL_RADIUS) / size))
                    index = index * grid + min(max(cell, 0), grid - 1)
                surface[index >> 6] |= one << np.uint64(index & 63)


def codes_of(free: Words, surface: Words, grid: int) -> Codes:
    """Combine the bits of a view set into codes.

    Args:
        free: Free bits of the set's views [K,W].
        surface: Surface bits [K,W].
        grid: Voxels along each side.

    Returns:
        uint8 [grid, grid, grid] of UNKNOWN, FREE and SURFACE.
    """
    any_free = np.bitwise_or.reduce(free, axis=0)
    any_surface = np.bitwise_or.reduce(surface, axis=0)
    bits = np.stack([any_free & ~any_surface, any_surface])
    flags = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little", count=grid**3)
    return np.asarray(flags[0] + 2 * flags[1], dtype=np.uint8).reshape(grid, grid, grid)


def observers_of(surface: Words, grid: int) -> NDArray[np.uint16]:
    """Return which views of a set measured each voxel: bit n for view n, uint16 [grid^3]."""
    flags = np.unpackbits(surface.view(np.uint8), axis=1, bitorder="little", count=grid**3)
    weights = (1 << np.arange(len(surface))).astype(np.uint16)
    return np.asarray((flags * weights[:, None]).sum(axis=0, dtype=np.uint16))
