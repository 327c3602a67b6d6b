"""Marching cubes over a distance field, asked only where the surface can be.

Blocks whose centre is further from the surface than any of their points can be are filled and not
asked: a distance changes by about 1 per unit length, and four times that is allowed for; steeper
fields are asked everywhere. What lies beyond the unit sphere is outside, as published, so the
surface is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gimbal_nero.errors import ShapeError
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_vision.meshes import Mesh, signed_volume

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Distance = Callable[[Doubles], Doubles]
"""From points [N, 3] in the unit frame to distances [N], positive outside."""
Progress = Callable[[int, int, str], None]

_BLOCK = 8
_STEEPEST = 4.0


def extract(distance: Distance, settings: MeshSettings, progress: Progress) -> Mesh:
    """Return the surface in the unit frame, its faces counter-clockwise seen from outside.

    Args:
        distance: The field.
        settings: How finely.
        progress: Told of blocks.

    Raises:
        ShapeError: There is no surface, or the field is not finite.
    """
    from skimage import measure

    resolution = settings.resolution
    volume = sample_volume(distance, settings, progress)
    within = volume[~_beyond(resolution)]
    if not within.min() < 0.0 < within.max():
        where = "outside" if within.min() >= 0.0 else "inside"
        raise ShapeError(
            f"the field has no surface: the whole unit sphere is {where} of it",
            "look at an earlier or later step (--step), or train longer; where it never shows, "
            "check the poses and that the object is in the unit sphere",
        )
    marching: Any = measure.marching_cubes
    vertices, faces, _, _ = marching(
        volume, level=0.0, gradient_direction="ascent", allow_degenerate=False
    )
    placed = vertices.astype(np.float64) / (resolution - 1) * 2.0 - 1.0
    return outward(Mesh(vertices=placed, faces=np.ascontiguousarray(faces, np.int32)))


def outward(mesh: Mesh) -> Mesh:
    """Return a closed mesh with its faces counter-clockwise seen from outside.

    The signed volume proves it; no convention of a library is relied on.
    """
    if signed_volume(mesh) >= 0.0:
        return mesh
    return Mesh(vertices=mesh.vertices, faces=np.ascontiguousarray(mesh.faces[:, ::-1]))


def sample_volume(distance: Distance, settings: MeshSettings, progress: Progress) -> Floats:
    """Return [R, R, R] distances over the cube, axes x, y, z.

    Raises:
        ShapeError: A distance is not finite.
    """
    resolution, points_at_once = settings.resolution, settings.points_at_once
    axis = np.linspace(-1.0, 1.0, resolution)
    starts = np.arange(0, resolution, _BLOCK)
    centres = np.array([axis[s : s + _BLOCK].mean() for s in starts])
    blocks = np.stack(np.meshgrid(*(np.arange(len(starts)),) * 3, indexing="ij"), -1).reshape(-1, 3)
    reach = np.sqrt(3.0) * (_BLOCK - 1) / (resolution - 1)
    middle = centres[blocks]
    near = np.linalg.norm(middle, axis=-1) <= 1.0 + reach
    guess = np.ones(len(blocks))
    if not settings.ask_everywhere:
        guess[near] = _asked(distance, middle[near], points_at_once)
    volume = np.empty((resolution,) * 3, np.float32)
    asked = near & (settings.ask_everywhere | (np.abs(guess) <= _STEEPEST * reach))
    for block, value in zip(blocks[~asked], guess[~asked], strict=True):
        volume[_places(block)] = value
    _fill(volume, distance, (axis, blocks[asked]), points_at_once, progress)
    volume[_beyond(resolution)] = 1.0
    return volume


def _beyond(resolution: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which samples [R, R, R] of the cube are not within the unit sphere."""
    squared = np.linspace(-1.0, 1.0, resolution) ** 2
    plane = squared[:, None] + squared
    found = np.empty((resolution,) * 3, np.bool_)
    for index, height in enumerate(squared):
        np.greater_equal(plane, 1.0 - height, out=found[index])
    return found


def _fill(
    volume: Floats,
    distance: Distance,
    where: tuple[Doubles, np.ndarray[Any, Any]],
    points_at_once: int,
    progress: Progress,
) -> None:
    """Ask the field at every sample of some blocks, several blocks at a time."""
    axis, blocks = where
    at_once = max(1, points_at_once // _BLOCK**3)
    for first in range(0, len(blocks), at_once):
        progress(first, len(blocks), "blocks near the surface")
        places = [_places(block) for block in blocks[first : first + at_once]]
        grids = [np.stack(np.meshgrid(*(axis[s] for s in p), indexing="ij"), -1) for p in places]
        points = np.concatenate([grid.reshape(-1, 3) for grid in grids])
        values = _asked(distance, points, points_at_once)
        ends = np.cumsum([grid[..., 0].size for grid in grids])
        for place, grid, part in zip(places, grids, np.split(values, ends[:-1]), strict=True):
            volume[place] = part.reshape(grid.shape[:3])


def _places(block: np.ndarray[Any, Any]) -> tuple[slice, slice, slice]:
    x, y, z = (slice(int(k) * _BLOCK, (int(k) + 1) * _BLOCK) for k in block)
    return x, y, z


def _asked(distance: Distance, points: Doubles, at_once: int) -> Doubles:
    if not len(points):
        return np.zeros(0)
    parts = [distance(points[first : first + at_once]) for first in range(0, len(points), at_once)]
    values = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(values).all():
        raise ShapeError(
            "the field is not finite somewhere, so it has no surface",
            "take an earlier step, or look at bad_batches.json of the training",
        )
    return values
