"""What rays met, packed: one row a ray that met something, none for the others.

Of the rays that carry light between surfaces one in five meets anything, so a row for every ray
would be mostly nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Hits:
    """Where K of R rays met a mesh; vectors in the mesh's frame, all on one device.

    Attributes:
        hit: [R] bool, which rays met it; the rows below follow their order.
        distances: [K] from the ray's origin, in units of the mesh's frame.
        points: [K, 3] on the surface.
        normals: [K, 3] unit, smooth, on the side that the ray came from.
        face_normals: [K, 3] unit, of the flat face, against the ray.
        starts: [K, 3] the points, lifted far enough that rays of light may start there.
        faces: [K] int64, of `TracedMesh.mesh`.
    """

    hit: Tensor
    distances: Tensor
    points: Tensor
    normals: Tensor
    face_normals: Tensor
    starts: Tensor
    faces: Tensor

    def __len__(self) -> int:
        """Return the number of rays that met the mesh."""
        return len(self.distances)


def joined(parts: Sequence[Hits]) -> Hits:
    """Return the hits of rays that were traced in parts, at least one, in their order."""
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(Hits)]
    return Hits(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
