"""Whether vehicles are listed within the LiDAR's reach.

A file lists vehicles that its LiDAR has hit. A file that lists some, but (nearly) none where the
cloud has points, has its boxes in another frame than its poses: nothing of that is seen where only
near boxes are compared with points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.listings import Listing
from gimbal_multicar.checking.samples import CarSample

Doubles = np.ndarray[Any, np.dtype[np.float64]]

NAME = "boxes within the LiDAR's reach"
MIN_BOXES = 6
"""Boxes of a car without which nothing is said of it."""
NEARLY_NONE = 0.1
SLACK = 1.1


def measure_reach(sample: CarSample) -> float | None:
    """Return the level distance of the farthest point, in metres; None without points."""
    points = sample.points_lidar
    if points is None or not len(points):
        return None
    away = np.hypot(points[:, 0], points[:, 2])
    away = away[np.isfinite(away)]
    return float(away.max()) if len(away) else None


def judge_reach(listings: Iterable[Listing], reaches_m: Sequence[float]) -> Finding:
    """Return whether boxes are where the LiDAR could hit them.

    Args:
        listings: Of all files.
        reaches_m: Of the samples, see `measure_reach`.
    """
    if not reaches_m:
        return cannot_tell(NAME, "no sample has a point cloud")
    reach = SLACK * max(reaches_m)
    by_car: dict[str, list[Listing]] = {}
    for listing in listings:
        by_car.setdefault(listing.place, []).append(listing)
    shares = {place: _within(own, reach) for place, own in by_car.items()}
    known = {place: s for place, s in shares.items() if s is not None}
    if not known:
        return cannot_tell(NAME, f"no car lists {MIN_BOXES} vehicles in plain numbers")
    odd = {place: s for place, s in known.items() if s < NEARLY_NONE}
    if not odd:
        return ok(NAME, f"{np.mean([*known.values()]):.0%} within {reach:.0f} m")
    relative = all(_relative(by_car[place], reach) for place in odd)
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{np.mean([*odd.values()]):.0%} of the boxes of {len(odd)} cars",
        expected=f"nearly all within {reach:.0f} m, as far as points reach",
        cause="the boxes are in another frame than the poses"
        + (": they are written relative to the car, not in the world" if relative else ""),
        hint="write location and angle of vehicles in the world of lidar_pose, in metres",
        where=shortened(odd),
        count=len(odd),
    )


def _within(own: Sequence[Listing], reach_m: float) -> float | None:
    away = np.concatenate([listing.away_m for listing in own])
    return float((away < reach_m).mean()) if len(away) >= MIN_BOXES else None


def _relative(own: Sequence[Listing], reach_m: float) -> bool:
    """Tell whether boxes are near the world's origin, which is far from the car."""
    boxes = np.concatenate([np.linalg.norm(listing.at_m, axis=-1) for listing in own])
    return bool((boxes < reach_m).mean() > 1.0 - NEARLY_NONE)
