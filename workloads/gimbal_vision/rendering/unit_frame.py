"""Bring a mesh to about unit size at the origin, for backends that compute in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.base import Array, Floats


@dataclass(frozen=True, eq=False)
class UnitFrame:
    """x_unit = scale * (x_world - centre). Ray parameters and z-depths do not change under it.

    Attributes:
        centre: [3] centre of the mesh's box.
        scale: 1 / longest side of the box.
    """

    centre: Array
    scale: float

    @classmethod
    def of(cls, mesh: Mesh) -> UnitFrame:
        """Return the frame of a mesh with at least one vertex."""
        bounds = mesh.bounds
        extent = float(np.ptp(bounds, axis=0).max())
        return cls(bounds.mean(axis=0), 1.0 / extent if extent > 0 else 1.0)

    def points(self, world: Array) -> Floats:
        """Bring points [..., 3] from the world."""
        return ((world - self.centre) * self.scale).astype(np.float32)

    def directions(self, world: Array) -> Floats:
        """Bring directions [..., 3] from the world."""
        return (world * self.scale).astype(np.float32)
