"""Kernels over the voxel grid: distances, normals and the walk along every candidate's rays."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nbv.voxels import FREE, SURFACE, UNKNOWN
from gimbal_vision.rendering.jit import kernel

_CHANCE = 0.35
"""Chance that an unknown voxel right beside known surface is surface too."""
_STEEPEST = 0.2
"""Least |cos| by which a slanted ray is weighted: little beyond the protocol's incidence counts."""
_ADJACENT, _CLOSE, _MIDDLE = 0.5, 0.2, 0.07
"""Nearness of voxels 1, 2.4 and 4 voxels from known surface."""


@kernel()
def mark(codes: Any, frontier: Any, distance: Any) -> None:
    """Mark unknown voxels that touch free ones; measure the distance to known surface in voxels."""
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
    _sweep(distance, 1)
    _sweep(distance, -1)


@kernel()
def _sweep(distance: Any, sign: int) -> None:
    """Carry distances forwards (sign 1) or backwards (-1) over the half of the 26 neighbours."""
    grid = distance.shape[0]
    start = 0 if sign > 0 else grid - 1
    for a in range(grid):
        i = start + sign * a
        for b in range(grid):
            j = start + sign * b
            for c in range(grid):
                k = start + sign * c
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
def normals_of(codes: Any) -> Any:
    """Return unit vectors towards the free side of voxels that are not free, float32 [grid^3,3].

    They come from the 26 neighbours; zero where no neighbour is free.
    """
    grid = codes.shape[0]
    out = np.zeros((grid**3, 3), np.float32)
    for i in range(1, grid - 1):
        for j in range(1, grid - 1):
            for k in range(1, grid - 1):
                if codes[i, j, k] == FREE:
                    continue
                x, y, z = 0, 0, 0
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        for dk in range(-1, 2):
                            if codes[i + di, j + dj, k + dk] == FREE:
                                x, y, z = x + di, y + dj, z + dk
                length = np.sqrt(np.float32(x * x + y * y + z * z))
                if length > 0:
                    number = (i * grid + j) * grid + k
                    out[number, 0], out[number, 1], out[number, 2] = (
                        x / length,
                        y / length,
                        z / length,
                    )
    return out


@kernel()
def look(
    codes: Any, frontier: Any, nearness: Any, normals: Any, observers: Any, cosines: Any,
    forward: Any, voxels: Any, starts: Any, entry: Any, step: Any, images: Any, counts: Any,
) -> None:  # fmt: skip
    """Walk all rays of all candidates; fill ray images and voxel counts (see `rays`)."""
    views, rays, _ = images.shape
    seen = np.zeros((3, codes.size), np.int32)
    for view in range(views):
        tally, ahead = counts[view], forward[view]
        for ray in range(rays):
            out, number = images[view, ray], view * rays + ray
            begin, end = starts[number], starts[number + 1]
            unknown, border, closest, clear = 0, 0, np.float32(0), np.float32(1)
            first, hit, behind = -1, -1, False
            for s in range(begin, end):
                voxel = voxels[s]
                if codes[voxel] == SURFACE:
                    hit = s
                    break
                behind = codes[voxel] == UNKNOWN
                if not behind:
                    continue
                near = nearness[voxel]
                if first < 0:
                    first = s - begin
                    _meet_edge(voxel, view, near, normals[voxel], ahead, seen, tally)
                if seen[1, voxel] != view + 1:
                    seen[1, voxel] = view + 1
                    tally[9] += 0.25
                    tally[10] += 0.25 * near
                    tally[11] += frontier[voxel]
                    tally[12] += frontier[voxel] * near
                unknown += 1
                border += frontier[voxel]
                closest = max(closest, near)
                clear *= 1 - np.float32(_CHANCE) * near
            out[2], out[3] = unknown * step, unknown > 0
            out[4] = entry[number] + first * step if first >= 0 else 1
            out[6], out[7], out[8] = border * step, 1 - clear, closest
            if hit >= 0:
                out[0], out[1], out[5] = 1, entry[number] + (hit - begin) * step, behind
                voxel = voxels[hit]
                least = _nearest_observer(observers[voxel], cosines[view])
                if not behind:
                    out[9], out[10] = 0.5 * (1 - least), least < 0
                if seen[2, voxel] != view + 1:
                    seen[2, voxel] = view + 1
                    _meet_known(behind, least, normals[voxel], ahead, tally)


@kernel()
def _meet_edge(
    voxel: int, view: int, near: Any, normal: Any, ahead: Any, seen: Any, tally: Any
) -> None:
    cosine = abs(normal[0] * ahead[0] + normal[1] * ahead[1] + normal[2] * ahead[2])
    slant = 1 / max(cosine, np.float32(_STEEPEST))
    tally[7] += slant
    tally[8] += near * slant
    if seen[0, voxel] != view + 1:
        seen[0, voxel] = view + 1
        tally[0] += 1
        tally[1] += near
        tally[2] += cosine
        if near > _ADJACENT:
            tally[3] += 1
        elif near > _CLOSE:
            tally[4] += 1
        elif near > _MIDDLE:
            tally[5] += 1
        else:
            tally[6] += 1


@kernel()
def _meet_known(behind: bool, least: Any, normal: Any, ahead: Any, tally: Any) -> None:
    averted = normal[0] * ahead[0] + normal[1] * ahead[1] + normal[2] * ahead[2]
    tally[13] += 1
    tally[14] += max(averted, np.float32(0))
    if behind:
        tally[15] += 1
    else:
        tally[16] += 0.5 * (1 - least)
        tally[17] += least < 0


@kernel()
def _nearest_observer(seen: Any, cosines: Any) -> Any:
    """Return the largest cosine between a candidate and the views that measured a voxel."""
    best = np.float32(-1)
    for n in range(cosines.shape[0]):
        if (seen >> n) & 1:
            best = max(best, cosines[n])
    return best
