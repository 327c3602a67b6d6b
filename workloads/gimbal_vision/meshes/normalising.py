"""Bring a mesh into the common frame: bounding-box diagonal 1, box centre at the origin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.model import Mesh, Vertices


@dataclass(frozen=True, eq=False)
class Similarity:
    """x_new = scale * (x_old - centre).

    Attributes:
        centre: [3] in the old frame.
        scale: New units in one old unit.
    """

    centre: Vertices
    scale: float

    def apply(self, points: ArrayLike) -> Vertices:
        """Map [..., 3] points from the old frame to the new one."""
        return self.scale * (np.asarray(points, np.float64) - self.centre)

    def undo(self, points: ArrayLike) -> Vertices:
        """Map [..., 3] points from the new frame back to the old one."""
        return np.asarray(points, np.float64) / self.scale + self.centre


def normalise(mesh: Mesh) -> Mesh:
    """Return the mesh with bounding-box diagonal 1, its box centred at the origin."""
    return normalise_with_similarity(mesh)[0]


def normalise_with_similarity(mesh: Mesh) -> tuple[Mesh, Similarity]:
    """Return the normalised mesh and the similarity that maps the old frame to the new one.

    Raises:
        MeshError: The mesh has no extent, or one that is not finite.
    """
    low, high = mesh.bounds if len(mesh.vertices) else np.zeros((2, 3))
    diagonal = float(np.linalg.norm(high - low))
    if not (np.isfinite(diagonal) and diagonal > 0):
        raise MeshError(
            f"A mesh with a bounding-box diagonal of {diagonal} cannot be normalised",
            "Give a mesh with at least one face that has an area.",
        )
    similarity = Similarity(centre=(low + high) / 2, scale=1.0 / diagonal)
    return replace(mesh, vertices=similarity.apply(mesh.vertices)), similarity
