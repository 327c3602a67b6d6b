"""How many points of a LiDAR sweep lie in boxes, and close around them.

Points near the ground are left out: they lie in any box that stands on a road.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

GROUND_M = 0.35
"""Points lower than this above a box's bottom are left out."""
GROWN_M = 0.15
SHELL_M = 1.2
"""Points this close around a box belong to its vehicle or speak against its place."""
MIN_POINTS = 3


@dataclass(frozen=True, slots=True)
class Hits:
    """How well points and boxes fit.

    Attributes:
        boxes: Boxes near enough that have points in or around them, or should have.
        hit: Boxes with points inside.
        inside: Points in boxes.
        shell: Points in boxes or close around them.
    """

    boxes: int = 0
    hit: int = 0
    inside: int = 0
    shell: int = 0

    def __add__(self, other: Hits) -> Hits:
        return Hits(
            self.boxes + other.boxes,
            self.hit + other.hit,
            self.inside + other.inside,
            self.shell + other.shell,
        )

    @property
    def score(self) -> float:
        """Share of boxes that are hit, times how much of what is near lies inside."""
        if not self.boxes or not self.shell:
            return 0.0
        return self.hit / self.boxes * self.inside / self.shell


class Cloud:
    """Points of one LiDAR sweep, ready to be counted in boxes.

    Args:
        points_lidar: [P, 3].
    """

    def __init__(self, points_lidar: Floats) -> None:
        from scipy.spatial import cKDTree

        self.points = points_lidar
        self._level = cKDTree(points_lidar[:, [0, 2]])

    def count(self, lidar_from_boxes: Floats, half_m: Floats) -> Hits:
        """Return how points fit boxes.

        Args:
            lidar_from_boxes: [B, 4, 4].
            half_m: [B, 3] half width, height, length.
        """
        total = Hits()
        radii = np.linalg.norm(half_m + SHELL_M, axis=-1)
        near = self._level.query_ball_point(lidar_from_boxes[:, [0, 2], 3], radii)
        for pose, half, indices in zip(lidar_from_boxes, half_m, near, strict=True):
            local = (self.points[indices] - pose[:3, 3]) @ pose[:3, :3]
            above = local[:, 1] < half[1] - GROUND_M
            shell = above & (np.abs(local) < half + SHELL_M).all(axis=1)
            inside = int((np.abs(local[shell]) < half + GROWN_M).all(axis=1).sum())
            total += Hits(1, int(inside >= MIN_POINTS), inside, int(shell.sum()))
        return total

    def best_turn(self, lidar_from_boxes: Floats, half_m: Floats) -> tuple[float, Hits]:
        """Return the angle, in degrees to the right, by which the points fit the boxes best."""

        def fit(angle: float) -> tuple[float, int]:
            hits = self.count(turn(-angle) @ lidar_from_boxes, half_m)
            return hits.score, hits.inside

        coarse = max(np.arange(-180.0, 180.0, 4.0), key=fit)
        fine = float(max(coarse + np.arange(-4.0, 4.25, 0.5), key=fit))
        angle = (fine + 180.0) % 360.0 - 180.0
        return angle, self.count(turn(-angle) @ lidar_from_boxes, half_m)


def turn(angle_deg: float) -> Floats:
    """Return [4, 4] that turns to the right about the vertical."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]
    return pose
