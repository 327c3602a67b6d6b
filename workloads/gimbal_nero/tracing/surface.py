"""A mesh that rays are traced against, its normals smooth and its hits refined where asked.

Normals are those of the renderer that makes photographs here (`synthesis.objects.shaded`): smooth,
and broken at creases. The published code takes flat ones, which mirrors show as facets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal_nero.errors import ShapeError
from gimbal_nero.synthesis.objects import ShadedMesh, shaded
from gimbal_nero.tracing.casting import caster_for
from gimbal_nero.tracing.hits import Hits
from gimbal_nero.tracing.refining import DistanceField, newton_in_parts
from gimbal_nero.tracing.triangles import Triangles
from gimbal_vision.meshes import Mesh

_ALIKE = 0.5
"""Least cosine between a refined normal and the mesh's: further apart, the field means another
surface."""
_STEPS, _AT_ONCE = 2, 65_536
"""Of Newton at vertices, and vertices of one call of the field."""

Doubles = np.ndarray[Any, np.dtype[np.float64]]


class TracedMesh:
    """A mesh that answers rays.

    Args:
        mesh: In the unit frame; open or closed, of either orientation.
        device: Where rays are; see `casting.caster_for`.

    Raises:
        ShapeError: The mesh has no faces.
    """

    def __init__(
        self,
        mesh: Mesh,
        device: torch.device | str = "cpu",
        *,
        field: DistanceField | None = None,
    ) -> None:
        if not len(mesh.faces):
            raise ShapeError("the mesh has no faces, so no ray meets it", "give another mesh")
        smooth = shaded(mesh)
        self.mesh = Mesh(vertices=smooth.vertices, faces=smooth.faces)
        self.device = torch.device(device)
        self.caster = caster_for(self.mesh, self.device)
        self.mean_edge = _mean_edge(self.mesh)
        normals = smooth.normals
        if field is not None:
            normals = _slopes(smooth, field, self.mean_edge)
        self._triangles = Triangles.of(self.mesh, normals)
        self._like: dict[torch.dtype, Triangles] = {}

    def first_hits(self, origins: Tensor, directions: Tensor) -> Hits:
        """Return where rays first meet the mesh.

        Args:
            origins: [R, 3] in the unit frame, on the mesh's device; float64 for rays that come
                from cameras.
            directions: [R, 3] of length 1.
        """
        with torch.no_grad():
            faces = self.caster.faces(origins.detach(), directions.detach())
            return self._triangles_like(origins).hits(origins, directions, faces)

    def refined(
        self, hits: Hits, field: DistanceField, steps: int = 2, at_once: int = 65_536
    ) -> Hits:
        """Return hits moved onto the surface of a distance field, with its normals.

        A hit stays as it is where the field has no surface within a mean edge of the mesh, or one
        that faces elsewhere.

        Args:
            hits: Of this mesh.
            field: The distance the mesh was cut out of.
            steps: Of Newton; each about doubles the digits that are right.
            at_once: Points of one call of the field.
        """
        if not len(hits):
            return hits
        with torch.no_grad():
            found = newton_in_parts(hits.points, field, steps, self.mean_edge, at_once)
        alike = (found.normals * hits.normals).sum(-1)
        kept = (found.settled & (alike.abs() > _ALIKE))[:, None]
        facing = torch.where(alike < 0, -1.0, 1.0).to(alike)[:, None]
        points = torch.where(kept, found.points, hits.points)
        return replace(
            hits,
            points=points,
            normals=torch.where(kept, found.normals * facing, hits.normals),
            starts=torch.where(kept, _above(points, hits), hits.starts),
        )

    def _triangles_like(self, rays: Tensor) -> Triangles:
        if rays.dtype not in self._like:
            self._like[rays.dtype] = self._triangles.to(rays)
        return self._like[rays.dtype]


def _above(points: Tensor, hits: Hits) -> Tensor:
    """Return points [K, 3] raised to at least the height over the faces at which rays start."""
    height = ((points - hits.points) * hits.face_normals).sum(-1, keepdim=True)
    wanted = ((hits.starts - hits.points) * hits.face_normals).sum(-1, keepdim=True)
    return points + (wanted - height).clamp(min=0.0) * hits.face_normals


def _slopes(smooth: ShadedMesh, field: DistanceField, reach: float) -> Doubles:
    """Return normals [V, 3] of a distance beside vertices, the mesh's where it has no surface."""
    own = torch.from_numpy(np.array(smooth.normals))
    with torch.no_grad():
        places = torch.from_numpy(np.array(smooth.vertices))
        found = newton_in_parts(places, field, _STEPS, reach, _AT_ONCE)
    kept = found.settled & ((found.normals * own).sum(-1) > _ALIKE)
    return np.asarray(torch.where(kept[:, None], found.normals, own).numpy(), np.float64)


def _mean_edge(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.faces]
    edges = corners - np.roll(corners, 1, axis=1)
    return float(np.linalg.norm(edges, axis=-1).mean())
