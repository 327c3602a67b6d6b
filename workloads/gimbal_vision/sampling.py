"""Even, reproducible samples of a mesh's surface.

Own code rather than a library's: the same seed gives the same points on any machine and with any
version, which a frozen evaluation needs; so only raw generator output and elementwise arithmetic
are used. Faces are found by inverting the cumulative area. `even=True` takes one point from each of
equal steps of area and places it in its face by a low-discrepancy sequence: area shares are exact
to one sample, and metrics scatter several times less than with independent draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.measures import face_areas, face_normals
from gimbal_vision.meshes.model import Faces, Mesh, Vertices

_PLASTIC = 1.3247179572447460260
"""Root of x³ = x + 1; its powers give the R2 sequence (Roberts, 2018)."""
_R2 = np.array([1.0 / _PLASTIC, 1.0 / _PLASTIC**2])


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Points on a surface, in the frame of the mesh.

    Attributes:
        points: [P, 3] float64.
        normals: [P, 3] float64 unit normals of the faces.
        face_ids: [P] int32.
        barycentric: [P, 3] float64 weights of the face's corners.
    """

    points: Vertices
    normals: Vertices
    face_ids: Faces
    barycentric: Vertices


def sample_surface(mesh: Mesh, count: int, seed: int = 0, *, even: bool = True) -> SurfaceSamples:
    """Return points spread over the surface in proportion to area.

    Args:
        mesh: The surface.
        count: Number of points, at least 1.
        seed: Equal seeds give equal points.
        even: Stratified and low-discrepancy; otherwise independent uniform draws. The order is
            random either way, so any prefix is a fair sample too.

    Raises:
        MeshError: The mesh has no area, or `count` is below 1.
    """
    cumulative = np.cumsum(face_areas(mesh))
    total = float(cumulative[-1]) if len(cumulative) else 0.0
    if count < 1 or not (np.isfinite(total) and total > 0):
        raise MeshError(
            f"{count} samples of a surface of area {total} were asked for",
            "Ask for at least one sample of a mesh with a finite, positive area.",
        )
    along, inside = _even(count, seed) if even else _independent(count, seed)
    last = int(np.searchsorted(cumulative, total))  # rounding must not reach a face without area
    face_ids = np.minimum(np.searchsorted(cumulative, along * total, side="right"), last)
    weights = square_to_triangle(inside)
    a, b, c = (mesh.vertices[mesh.faces[face_ids, i]] for i in range(3))
    return SurfaceSamples(
        points=weights[:, :1] * a + weights[:, 1:2] * b + weights[:, 2:] * c,
        normals=face_normals(mesh)[face_ids],
        face_ids=face_ids.astype(np.int32),
        barycentric=weights,
    )


def square_to_triangle(square: Vertices) -> Vertices:
    """Map [P, 2] points of the unit square to barycentric weights [P, 3], keeping areas.

    The square is folded along a diagonal, not bent: neighbours stay neighbours, so an even pattern
    stays even (Heitz, 2019).
    """
    u, v = square[:, 0], square[:, 1]
    half = np.minimum(u, v) / 2.0
    first = np.where(u < v, half, u - half)
    second = np.where(u < v, v - half, half)
    return np.stack([first, second, 1.0 - first - second], axis=-1)


def _independent(count: int, seed: int) -> tuple[Any, Any]:
    draws = _uniform(3 * count, seed).reshape(count, 3)
    return draws[:, 0], draws[:, 1:]


def _even(count: int, seed: int) -> tuple[Any, Any]:
    """Return positions in [0, 1), one in each of `count` equal steps, and R2 points alongside."""
    draws = _uniform(2 * count + 2, seed)
    step = np.argsort(draws[:count], kind="stable")
    along = (step + draws[count : 2 * count]) / count
    return along, (draws[-2:] + step[:, None] * _R2) % 1.0


def _uniform(count: int, seed: int) -> Vertices:
    """Return draws from [0, 1) with 53 random bits; numpy promises the raw stream never changes."""
    raw = np.random.PCG64(seed).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
