"""Whether the ranges of a built panorama are those of the car's point cloud.

The last link of a chain: depth files, calibration and the warp may each be right and the ranges
still be the cameras' own instead of the panorama's centre's. Points come with no camera, so they
are projected into the panorama by its own geometry alone, the nearest one of a pixel counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.samples import CarSample
from gimbal_multicar.opv2v.own_cloud import cloud_in_car
from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.model import PanoramaImage

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

NAME = "panorama's ranges against LiDAR"
CLOSE = 0.05
"""Relative difference up to which a pixel's range is the point's."""
ENOUGH = 0.65
"""Share of the pixels that must be close; the rest are edges, and what only the LiDAR can see.

Of made streets with depth of every pixel .95 and more are close around the LiDAR, and .74 and more
around the car's origin below it; with `rotation` .4 and less, with two cameras' depth exchanged .61
and less.
"""
MIN_PIXELS = 200
FAR_M = 150.0


@dataclass(frozen=True, kw_only=True)
class RangeMeasure:
    """One panorama beside its cloud.

    Attributes:
        place: `split/scenario/agent`.
        pixels: Those with both a range and a point.
        close: Share of them within `CLOSE`.
        ratio: Median of range over the point's.
    """

    place: str
    pixels: int
    close: float
    ratio: float


def measure_ranges(sample: CarSample, image: PanoramaImage) -> RangeMeasure | None:
    """Return how a panorama's ranges fit the cloud; None where there is too little to compare."""
    if sample.points_lidar is None:
        return None
    nearest = nearest_points_m(cloud_in_car(sample.frame, sample.points_lidar), image.camera)
    both = image.valid & (nearest < FAR_M)
    pixels = int(both.sum())
    if pixels < MIN_PIXELS:
        return None
    ratio = image.range_m[both] / nearest[both]
    return RangeMeasure(
        place=sample.place,
        pixels=pixels,
        close=float((np.abs(ratio - 1.0) < CLOSE).mean()),
        ratio=float(np.median(ratio)),
    )


def nearest_points_m(points_car: Floats, camera: Panorama) -> Floats:
    """Return [H, W] range of the nearest point in each pixel, infinite where there is none."""
    nearest = np.full((camera.height, camera.width), np.inf)
    pixels, ranges = camera.project(np.asarray(points_car, np.float64))
    at = np.floor(np.nan_to_num(pixels, nan=-1.0)).astype(np.int64)
    inside = (at >= 0).all(axis=-1) & (at[:, 0] < camera.width) & (at[:, 1] < camera.height)
    np.minimum.at(nearest, (at[inside, 1], at[inside, 0]), ranges[inside])
    return nearest


def judge_ranges(measures: Sequence[RangeMeasure], warp: str) -> Finding:
    """Return whether ranges are those from the panorama's centre.

    Args:
        measures: Of all samples.
        warp: As set, `data.panorama.warp`.
    """
    if not measures:
        return cannot_tell(NAME, "no panorama has enough pixels with both a range and a point")
    pixels = sum(m.pixels for m in measures)
    close = sum(m.close * m.pixels for m in measures) / pixels
    odd = {m.place for m in measures if m.close < ENOUGH}
    measured = f"{close:.1%} of {pixels} pixels within {CLOSE:.0%}"
    if not odd:
        return ok(NAME, measured, f"at least {ENOUGH:.0%}")
    chosen = warp == "rotation"
    ratio = float(np.median([m.ratio for m in measures if m.close < ENOUGH]))
    return Finding(
        name=NAME,
        status=Status.WARN if chosen else Status.FAIL,
        measured=f"{measured}, range / LiDAR = {ratio:.3g}",
        expected=f"at least {ENOUGH:.0%} in each panorama",
        cause="data.panorama.warp=rotation keeps each camera's own ranges, metres off near the car"
        if chosen
        else "depth files, the cameras' places or clouds are of something else: they do not give "
        "the ranges from the panorama's centre",
        hint="use data.panorama.warp=auto"
        if chosen
        else "mend what 'cameras in place' and 'depth against LiDAR' tell of these cars first",
        where=shortened(odd),
        count=len(odd),
    )
