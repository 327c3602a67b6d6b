"""Bring a scene into the unit sphere: one rotation, one scale, one shift, kept so it can be undone.

The object's own points touch radius 1 (NeRO's convention), not the cameras: rays outside the sphere
belong to the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalisation:
    """x_unit = scale * rotation @ (x_source - centre_source).

    Attributes:
        rotation: [3, 3], the unit frame's axes as rows, in the source frame; proper.
        centre_source: [3] in the source frame.
        scale: Unit lengths in one source length, above 0.
    """

    rotation: Doubles
    centre_source: Doubles
    scale: float

    @classmethod
    def identity(cls) -> Normalisation:
        """Return the one that changes nothing."""
        return cls(rotation=np.eye(3), centre_source=np.zeros(3), scale=1.0)

    def points(self, points_source: ArrayLike) -> Doubles:
        """Map [..., 3] points from the source frame to the unit frame."""
        shifted = np.asarray(points_source, np.float64) - self.centre_source
        return self.scale * (shifted @ self.rotation.T)

    def undo_points(self, points_unit: ArrayLike) -> Doubles:
        """Map [..., 3] points from the unit frame back to the source frame."""
        turned = np.asarray(points_unit, np.float64) @ self.rotation
        return turned / self.scale + self.centre_source

    def poses(self, cam2source: ArrayLike) -> Doubles:
        """Map [..., 4, 4] camera poses; they stay rigid, since only their centres are scaled."""
        poses = np.array(cam2source, np.float64)
        poses[..., :3, 3] = self.points(poses[..., :3, 3])
        poses[..., :3, :3] = self.rotation @ poses[..., :3, :3]
        return poses
