"""A part of a procedural shape: a closed triangle surface with outward winding.

Parts are joined by overlapping, never by a boolean: every renderer and every visibility test sees
only the outer envelope, and sampling keeps only what some camera can see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Faces = NDArray[np.int32]


@dataclass(frozen=True)
class Solid:
    """Vertices float64 [V,3] and faces int32 [F,3], counter-clockwise seen from outside."""

    vertices: Points
    faces: Faces

    def moved(self, offset: ArrayLike) -> Solid:
        """Translate."""
        return Solid(self.vertices + np.asarray(offset, dtype=np.float64), self.faces)

    def scaled(self, factor: ArrayLike) -> Solid:
        """Scale about the origin by one positive factor or one per axis."""
        return Solid(self.vertices * np.asarray(factor, dtype=np.float64), self.faces)

    def turned(self, rotation: Points) -> Solid:
        """Rotate about the origin by a matrix [3,3]."""
        return Solid(self.vertices @ rotation.T, self.faces)

    def bounds(self) -> tuple[Points, Points]:
        """Return the lowest and highest corner."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)


def merge(solids: Iterable[Solid]) -> Solid:
    """Put parts side by side into one face list; overlaps stay."""
    parts = list(solids)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Solid(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate(faces).astype(np.int32),
    )


def grid_faces(rows: int, columns: int, *, wrap_rows: bool, wrap_columns: bool) -> Faces:
    """Triangulate a grid of vertices stored row by row.

    Winding: counter-clockwise where (next column, next row) is a right-handed frame of the outside.
    """
    i = np.arange(rows if wrap_rows else rows - 1)
    j = np.arange(columns if wrap_columns else columns - 1)
    i, j = (grid.ravel() for grid in np.meshgrid(i, j, indexing="ij"))
    i_next, j_next = (i + 1) % rows, (j + 1) % columns
    a, b = i * columns + j, i * columns + j_next
    c, d = i_next * columns + j_next, i_next * columns + j
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


def rotation_about(axis: Sequence[float] | Points, angle_rad: float) -> Points:
    """Return the matrix that turns by an angle about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(
        np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross
    )


def rotation_to(direction: Sequence[float] | Points) -> Points:
    """Return a rotation that takes +z to a direction."""
    target = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    axis = np.cross([0.0, 0.0, 1.0], target)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return np.eye(3) if target[2] > 0 else np.diag([1.0, -1.0, -1.0])
    return rotation_about(axis, float(np.arctan2(sine, target[2])))


def random_rotation(rng: np.random.Generator) -> Points:
    """Return a rotation drawn uniformly from SO(3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q if np.linalg.det(q) > 0 else -q)


def random_direction(rng: np.random.Generator) -> Points:
    """Return a unit vector drawn uniformly from the sphere."""
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))
