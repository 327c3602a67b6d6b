"""Voxel grids that move smoothly with the declared poses.

The policy's grid (`gimbal_nbv.voxels`) counts a point in one voxel, and then nothing changes while
the point moves inside it. Here a point near the border of two voxels counts in both. Free space is
carved without gradient: where a ray ends, not what it passes, is what a pose moves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gimbal_nbv.protocol import BALL_RADIUS

SOFTNESS = 0.4
"""Share of a voxel over which a point passes from one voxel to the next; 1 is trilinear. Narrower
looks more like the hard grid that the net was trained on."""

_FILL = 3.0
"""Points fill a voxel as 1 - exp(-3 mass): one point fills .95 of it."""


def voxel_centres(grid: int, like: Tensor) -> Tensor:
    """Return the centres of all voxels [grid^3, 3], in diagonals, dtype and device as `like`."""
    size = 2 * BALL_RADIUS / grid
    line = (torch.arange(grid, dtype=like.dtype, device=like.device) + 0.5) * size - BALL_RADIUS
    return torch.cartesian_prod(line, line, line)


def splat(points: Tensor, grid: int, softness: float = SOFTNESS) -> Tensor:
    """Share unit masses out among voxels.

    Args:
        points: [Q,3] in diagonals; points outside the cube count in the voxels of its border.
        grid: Voxels along each side.
        softness: Width of the passage between two voxels, as a share of a voxel, in (0, 1].

    Returns:
        Mass of every voxel [grid^3]; it sums to Q and is differentiable in `points`.
    """
    at = (points + BALL_RADIUS) * (grid / (2 * BALL_RADIUS)) - 0.5
    low = at.detach().floor()
    upper = ((at - low - 0.5) / softness + 0.5).clamp(0, 1)
    shares, cells = torch.stack([1 - upper, upper]), torch.stack([low, low + 1])
    cells = cells.clamp(0, grid - 1).long()
    mass = points.new_zeros(grid**3)
    for corner in range(8):
        i, j, k = corner >> 2, (corner >> 1) & 1, corner & 1
        index = (cells[i, :, 0] * grid + cells[j, :, 1]) * grid + cells[k, :, 2]
        mass = mass.index_add(0, index, shares[i, :, 0] * shares[j, :, 1] * shares[k, :, 2])
    return mass


def unproject(depths: Tensor, poses: Tensor, intrinsics: Tensor) -> Tensor:
    """Return the measured points [Q,3], world; differentiable in `poses`.

    Args:
        depths: z-depth [N,H,W], 0 where nothing was hit.
        poses: cam2world [N,4,4].
        intrinsics: [N,3,3] in pixels, pixel centres at +.5.
    """
    view, row, column = torch.nonzero(depths > 0, as_tuple=True)
    depth, K = depths[view, row, column], intrinsics[view]
    x = (column + 0.5 - K[:, 0, 2]) / K[:, 0, 0] * depth
    y = (row + 0.5 - K[:, 1, 2]) / K[:, 1, 1] * depth
    camera = torch.stack([x, y, depth], dim=-1).to(poses.dtype)
    chosen = poses[view]
    return (chosen[:, :3, :3] @ camera[..., None]).squeeze(-1) + chosen[:, :3, 3]


@torch.no_grad()
def carve_free(depths: Tensor, poses: Tensor, intrinsics: Tensor, grid: int) -> Tensor:
    """Return which voxels some view looked through, bool [grid^3].

    The rule is that of `gimbal_nbv.voxels.carve`: a view clears a voxel whose centre lies half a
    voxel or more before what its pixel hit; voxels outside the ball are free.
    """
    centres = voxel_centres(grid, poses)
    size = 2 * BALL_RADIUS / grid
    free = centres.square().sum(1) > (BALL_RADIUS + 0.5 * size) ** 2
    height, width = depths.shape[1:]
    for depth, pose, K in zip(depths, poses, intrinsics, strict=True):
        right, down, far = ((centres - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
        column = (K[0, 0] * right / far + K[0, 2]).floor().long()
        row = (K[1, 1] * down / far + K[1, 2]).floor().long()
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (far > 0)
        hit = depth[row.clamp(0, height - 1), column.clamp(0, width - 1)]
        free |= inside & ((hit == 0) | (far < hit - 0.5 * size))
    return free


def soft_codes(
    depths: Tensor, poses: Tensor, intrinsics: Tensor, grid: int, softness: float = SOFTNESS
) -> Tensor:
    """Return shares of unknown, free and surface of every voxel [3, grid, grid, grid].

    They sum to 1 and are differentiable in `poses`. Views combine by their maximum, as bits do by
    OR: the same view twice is that view.
    """
    filled = []
    for view in range(len(depths)):
        one = slice(view, view + 1)
        mass = splat(unproject(depths[one], poses[one], intrinsics[one]), grid, softness)
        filled.append(1 - torch.exp(-_FILL * mass))
    surface = torch.stack(filled).amax(0)
    free = carve_free(depths, poses, intrinsics, grid).to(surface.dtype) * (1 - surface)
    shares = torch.stack([1 - free - surface, free, surface])
    return shares.reshape(3, grid, grid, grid)
