"""Hand-made scores over the voxel grid, each one number of a candidate's ray image."""

from __future__ import annotations

from dataclasses import dataclass

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.rays import CHANNELS
from gimbal_nbv.states import States


@dataclass(frozen=True)
class RayShare:
    """Scores a candidate by the mean of one channel of its ray image.

    Attributes:
        name: Name in tables.
        channel: Name of the channel.
        sign: -1 where less is better.
    """

    name: str
    channel: str
    sign: float = 1.0

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the signed mean of the channel over the rays [B,M]."""
        column = CHANNELS.index(self.channel)
        return self.sign * features.pooled(states)[..., column].astype(float)


UNKNOWN_RAY = RayShare("unknown_ray", "open")
"""Share of rays that meet unknown before any known surface."""

REAR_SIDE = RayShare("rear_side", "rear")
"""Share of rays that would meet known surface from behind (Proximity Count's idea)."""

FRONTIER = RayShare("frontier", "frontier")
"""Unknown voxels that touch free ones, along the rays."""

COV_NBV = RayShare("cov_nbv", "hit", sign=-1.0)
"""VIN-NBV's definition: empty pixels of the projected reconstruction, background included.

A weak baseline: it prefers the thinnest silhouette and ends below random.
"""
