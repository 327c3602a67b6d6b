"""Fewer faces for files that others open, with the normals of the mesh that had them all.

Quadric error decimation (Garland and Heckbert, 1997) as `fast_simplification` has it, through
trimesh. A mesh from marching cubes has far more faces than its curvature needs, and laying it out
flat takes longer than in proportion to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.exporting.errors import ExportError
from gimbal_nero.synthesis.objects import shaded
from gimbal_vision.meshes.measures import vertex_normals
from gimbal_vision.meshes.model import Mesh

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_NEIGHBOURS = 12
"""Vertices that say what a normal is; on a crease, half of them are of the other side."""
_ALIKE = float(np.cos(np.radians(50.0)))
_RAYS = 20_000
"""As many places tell how far a surface moved."""
_SAMPLES = 200_000


def simplified(mesh: Mesh, most_faces: int | None) -> Mesh:
    """Return a mesh with at most about `most_faces` faces; itself where it has no more.

    Raises:
        ExportError: Nothing is left.
    """
    import trimesh

    if most_faces is None or len(mesh.faces) <= most_faces:
        return mesh
    full: Any = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    fewer = full.simplify_quadric_decimation(face_count=most_faces)
    if not len(fewer.faces):
        raise ExportError(
            f"nothing is left of {len(mesh.faces)} faces simplified to {most_faces}",
            "raise export.most_faces, or write none to keep all faces",
        )
    return Mesh(np.asarray(fewer.vertices, np.float64), np.asarray(fewer.faces, np.int32))


def normals_at(mesh: Mesh, points: Doubles, sides: Doubles) -> Doubles:
    """Return the smooth normals [N, 3] of a mesh near points [N, 3] on or beside its surface.

    Those of the nearest vertices, weighted by inverse distance; exact at vertices. They break at
    creases, as in `synthesis.objects.shaded`.

    Args:
        mesh: The full mesh.
        points: On a simpler one.
        sides: [N, 3] unit, roughly the normals there: of two sides of a crease or a thin wall, only
            the one that faces alike says anything.
    """
    from scipy.spatial import KDTree

    full = shaded(mesh)
    count = min(_NEIGHBOURS, len(full.vertices))
    found: Any = KDTree(full.vertices).query(points, k=[*range(1, count + 1)])
    apart, near = found
    weights = 1.0 / np.maximum(apart, 1e-9 * max(float(np.ptp(mesh.vertices)), 1e-300))
    same = np.einsum("nkd,nd->nk", full.normals[near], sides) > _ALIKE
    mixed = ((weights * same)[..., None] * full.normals[near]).sum(axis=1)
    length = np.linalg.norm(mixed, axis=-1, keepdims=True)
    return np.where(length > 0, mixed / np.where(length > 0, length, 1.0), sides)


def moved_by(mesh: Mesh, simpler: Mesh) -> Doubles:
    """Return how far the surface is at vertices of `mesh` from `simpler`.

    That is along their normals, or to the nearest of many points of `simpler`, whichever is less:
    past the border of an open mesh a normal meets something else far away, or nothing. At most
    20,000 vertices are asked.
    """
    import trimesh
    from scipy.spatial import KDTree

    from gimbal_vision.rendering.rays import RayCaster

    some = np.linspace(0, len(mesh.vertices) - 1, min(_RAYS, len(mesh.vertices))).astype(int)
    normals, caster = vertex_normals(mesh)[some], RayCaster(simpler)
    # A step back, so that a surface which did not move at all is met as well.
    back = 1e-4 * max(float(np.ptp(mesh.vertices, axis=0).max()), 1e-300)
    found = []
    for sign in (1.0, -1.0):
        away = sign * normals
        distance, face = caster.first_hit(mesh.vertices[some] - back * away, away)
        found.append(np.where(face >= 0, np.abs(np.asarray(distance) - back), np.inf))
    plain: Any = trimesh.Trimesh(simpler.vertices, simpler.faces, process=False)
    points, _ = trimesh.sample.sample_surface(plain, _SAMPLES, seed=0)
    nearest, _ = KDTree(np.concatenate([points, simpler.vertices])).query(mesh.vertices[some])
    return np.minimum(np.minimum(*found), nearest)
