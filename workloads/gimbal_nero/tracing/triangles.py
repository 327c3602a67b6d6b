"""Where rays cross triangles that are known to be hit, with smooth normals.

A caster only says which face a ray meets. Everything else is worked out here in the precision of
the rays, so that all casters give the same points: Embree and Warp compute in float32, and their
barycentric coordinates would be the worst number of a hit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.tracing.hits import Hits
from gimbal_vision.meshes import Mesh

_MARGIN = 1e-5
"""Of the mesh's longest side, by which rays of light start above a face: float32 rounds there."""


class Triangles:
    """The corners of a mesh and their normals.

    Args:
        vertices: [V, 3]
        normals: [V, 3] unit.
        faces: [F, 3] int64.
    """

    def __init__(self, vertices: Tensor, normals: Tensor, faces: Tensor) -> None:
        self._vertices, self._normals, self._faces = vertices, normals, faces
        self._margin = _MARGIN * float(
            (vertices.amax(dim=0) - vertices.amin(dim=0)).max() if len(vertices) else 0.0
        )

    @classmethod
    def of(cls, mesh: Mesh, normals: np.ndarray) -> Triangles:
        """Return the triangles of a mesh in float64 on the CPU."""
        return cls(
            torch.tensor(mesh.vertices, dtype=torch.float64),
            torch.tensor(normals, dtype=torch.float64),
            torch.tensor(mesh.faces, dtype=torch.int64),
        )

    def to(self, like: Tensor) -> Triangles:
        """Return them in the precision and on the device of a tensor."""
        return Triangles(
            self._vertices.to(like), self._normals.to(like), self._faces.to(like.device)
        )

    def hits(self, origins: Tensor, directions: Tensor, faces: Tensor) -> Hits:
        """Return where rays cross faces.

        Args:
            origins: [R, 3] in the precision and on the device of the triangles.
            directions: [R, 3] of length 1.
            faces: [R] int64, the face that each ray meets; -1: none.
        """
        hit = faces >= 0
        met, o, d = faces[hit], origins[hit], directions[hit]
        corners = self._faces[met]
        places, normals = self._vertices[corners], self._normals[corners]
        weights = _barycentric(places, o, d)
        points = _mix(weights, places)
        flat = functional.normalize(_flat(places), dim=-1)
        side = torch.where((flat * d).sum(-1, keepdim=True) > 0, -1.0, 1.0).to(o)
        flat, normals = flat * side, normals * side[:, None]
        smooth = functional.normalize(_mix(weights, normals), dim=-1)
        turned = (smooth * flat).sum(-1, keepdim=True) <= 0
        return Hits(
            hit=hit,
            distances=((points - o) * d).sum(-1),
            points=points,
            normals=torch.where(turned, flat, smooth),
            face_normals=flat,
            starts=_lifted(points, weights, places, normals) + self._margin * flat,
            faces=met,
        )


def _barycentric(places: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
    """Return [K, 3] weights of the corners [K, 3, 3] (Moeller and Trumbore 1997), none below 0.

    Rounding may put a crossing just outside a face that was hit at its edge: it is brought back.
    """
    along, across = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    start = origins - places[:, 0]
    p, q = torch.linalg.cross(directions, across), torch.linalg.cross(start, along)
    volume = (along * p).sum(-1)
    volume = torch.where(volume == 0, torch.ones_like(volume), volume)
    u, v = (start * p).sum(-1) / volume, (directions * q).sum(-1) / volume
    weights = torch.stack([1.0 - u - v, u, v], dim=-1).clamp(0.0, 1.0)
    return weights / weights.sum(-1, keepdim=True)


def _mix(weights: Tensor, corners: Tensor) -> Tensor:
    mixed: Tensor = (weights[..., None] * corners).sum(dim=1)
    return mixed


def _flat(places: Tensor) -> Tensor:
    flat: Tensor = torch.linalg.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    return flat


def _lifted(points: Tensor, weights: Tensor, places: Tensor, normals: Tensor) -> Tensor:
    """Return [K, 3] points on the curved surface that the corners' normals speak of.

    Light that arrives nearly along a curved surface would be blocked by the very facets that stand
    for it. Each corner's tangent plane says how far the point lies beneath it; the point rises by
    the mean of these (to about as high above the curve as the facet lies beneath it), and not at
    all where the surface is hollow (Hanika, "Hacking the shadow terminator", Ray Tracing Gems II,
    2021).
    """
    beneath = ((points[:, None] - places) * normals).sum(-1, keepdim=True).clamp(max=0.0)
    return points - _mix(weights, beneath * normals)
