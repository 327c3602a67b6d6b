"""Do the views of cooperating cars mean one world?

A surface that one car measures hides what is behind it from all cars, so hardly any of its points
may lie where another car sees farther. Poses that are mirrored, exchanged or of another moment put
points into thin air. No pose code takes part, only a projection, so this also checks that code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras import Panorama

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

NEAREST_M, FARTHEST_M = 3.0, 60.0
"""Nearer points are on the car itself; farther ones are finer than a pixel."""
FARTHER = 1.08
"""A car sees farther where its range exceeds a point's distance by this factor."""
SUSPECT_SHARE = 0.1
"""True poses of made streets stay below .03. Mirrored ones reach .42, but where little can be seen
of each other some stay below .1 too: a small share alone proves no pose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenThrough:
    """How many of another car's points hang in thin air.

    Attributes:
        points: Points within the view whose pixel is sky or has a range.
        share: Of them, those behind which the car sees farther; NaN without points.
    """

    points: int
    share: float

    @property
    def suspect(self) -> bool:
        """Whether the share is larger than sound poses leave."""
        return self.share > SUSPECT_SHARE


def seen_through(view: Mapping[str, Any], camera: Panorama, points: Floats) -> SeenThrough:
    """Return the share of points in front of which a car sees farther.

    Args:
        view: The car's own view, see `car_view`: its ranges and masks.
        camera: Its panorama.
        points: [P, 3] points that another car measured, in the *car's own* frame, metres.
    """
    pixels, distance = camera.project(np.asarray(points, np.float64))
    u, v = np.floor(np.moveaxis(np.nan_to_num(pixels, nan=-1.0), -1, 0)).astype(np.int64)
    inside = (v >= 0) & (v < camera.height) & (u >= 0) & (u < camera.width)
    inside &= (distance > NEAREST_M) & (distance < FARTHEST_M)
    u, v, distance = u[inside], v[inside], distance[inside]
    sky: Bools = view["coverage"][v, u] & ~view["non_ambiguous_mask"][v, u]
    told: Bools = sky | view["valid_mask"][v, u]
    through = sky | (view["depth_along_ray"][v, u, 0] > FARTHER * distance)
    count = int(told.sum())
    return SeenThrough(points=count, share=float(through[told].mean()) if count else float("nan"))
