"""What every reconstruction of a set of views offers, fused or learned.

A reconstruction is told where each image was taken and believes it. It is differentiable in those
declared poses: that is all a policy trained through a detached rendering has to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class SurfacePoints:
    """A reconstructed surface.

    Attributes:
        points: [Q,3], world.
        weights: [Q] >= 0, how much each point counts in means; None: all alike.
    """

    points: Tensor
    weights: Tensor | None = None


class Reconstruction(Protocol):
    """Turns depth images and declared poses into points."""

    @property
    def name(self) -> str:
        """Name in configs and tables."""
        ...

    def reconstruct(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> SurfacePoints:
        """Reconstruct one set of views; differentiable in `poses`.

        Args:
            depths: z-depth [N,H,W] in world units, 0 where nothing was hit.
            poses: Declared cam2world [N,4,4], OpenCV axes.
            intrinsics: [N,3,3] in pixels, pixel centres at +.5.
        """
        ...
