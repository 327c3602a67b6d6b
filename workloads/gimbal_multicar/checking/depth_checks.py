"""Whether depth files hold z-depth in metres, compared with the car's own LiDAR.

Each LiDAR point is projected into the cameras by the poses, and the depth stored at its pixel is
compared with its z-depth, its range, and both in other units. Cameras and LiDAR stand apart, so
some points are hidden from a camera: medians are compared. The files of all cameras are compared
with the points of each, so files under a wrong name show as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.placement import OrderCosts, costs_of_assignment
from gimbal_multicar.checking.samples import CarSample, points_in_car
from gimbal_vision.poses import invert_pose, transform_points

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

NAME = "depth against LiDAR"
ORDER = "order of depth files, by LiDAR"
AS_WANTED = "z-depth in metres"
FAR_M = 250.0
MIN_POINTS = 50
MAX_KEPT = 2000
FITS = 0.06
"""Median of |log(depth / LiDAR)| up to which both are of the same surface: 6 %."""
UNITS = {
    1.0: "metres",
    1000.0: "millimetres",
    100.0: "centimetres",
    256.0: "1/256 m (16-bit images of KITTI's kind)",
    0.001: "kilometres, or CARLA's depth before it is multiplied by 1000",
    1.0 / 255.0: "1/255 of an 8-bit image",
    3.28084: "feet",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthMeasure:
    """One car's depth beside its LiDAR.

    Attributes:
        place: `split/scenario/agent`.
        source: See `CarSample`.
        density: See `CarSample`.
        stored: [P] depth values at the pixels of LiDAR points.
        z_m: [P] the points' z-depths.
        range_m: [P] their ranges from the camera.
        order: What each order of the depth files costs; None where it cannot be told.
    """

    place: str
    source: str
    density: float
    stored: Floats
    z_m: Floats
    range_m: Floats
    order: OrderCosts | None


def measure_depth(sample: CarSample, *, lidar_fits: bool = True) -> DepthMeasure:
    """Return a car's depth and its LiDAR at the same pixels.

    Args:
        sample: The car.
        lidar_fits: Whether the LiDAR is where its pose says; else nothing is compared with it.
    """
    compared = (
        lidar_fits and sample.points_lidar is not None and sample.depth_source in ("npy", "opv2v_h")
    )
    seen = _seen(sample) if compared else []
    kept = [_sampled(sample.depths[name], name_seen) for name, name_seen in seen]
    stored, z, r = (np.concatenate([k[i] for k in kept]) if kept else np.empty(0) for i in range(3))
    step = max(1, len(stored) // MAX_KEPT)
    return DepthMeasure(
        place=sample.place,
        source=sample.depth_source,
        density=sample.depth_density,
        stored=stored[::step],
        z_m=z[::step],
        range_m=r[::step],
        order=_order(sample, seen),
    )


_Seen = tuple[Any, Floats, Floats]
"""Pixels (rows, columns), z-depths and ranges of the points that one camera could see."""


def _seen(sample: CarSample) -> list[tuple[str, _Seen]]:
    points_car = points_in_car(sample)
    found = []
    for c in sample.rig.cameras:
        if c.name not in sample.depths:
            continue
        points = np.asarray(transform_points(invert_pose(c.car_from_camera), points_car))
        pixels, ranges = c.camera.project(points)
        u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1.0), -1, 0)
        inside = (u >= 0) & (v >= 0) & (u < c.camera.width) & (v < c.camera.height)
        inside &= (points[:, 2] > 1.0) & (ranges < FAR_M)
        rows, columns = v[inside].astype(np.int64), u[inside].astype(np.int64)
        found.append((c.name, ((rows, columns), points[inside, 2], ranges[inside])))
    return found


def _sampled(depth: Floats, seen: _Seen) -> tuple[Floats, Floats, Floats]:
    pixels, z, r = seen
    stored = np.asarray(depth[pixels], np.float64)
    known = np.isfinite(stored) & (stored > 0)
    return stored[known], z[known], r[known]


def _order(sample: CarSample, seen: Sequence[tuple[str, _Seen]]) -> OrderCosts | None:
    names = tuple(name for name, _ in seen)
    if len(names) < 2 or names != sample.rig.names:
        return None
    if len({sample.depths[name].shape for name in names}) > 1:
        return None
    matrix = np.full((len(names), len(names)), np.nan)
    for i, file in enumerate(names):
        for j, (_, points) in enumerate(seen):
            stored, z, _ = _sampled(sample.depths[file], points)
            if len(stored) >= MIN_POINTS:
                ratio = np.log(stored / z)
                matrix[i, j] = np.median(np.abs(ratio - np.median(ratio)))
    if not np.isfinite(matrix).all():
        return None
    return OrderCosts(place=sample.place, names=names, costs=costs_of_assignment(matrix))


def judge_depth(
    measures: Sequence[DepthMeasure], density: float, misplaced: frozenset[str] = frozenset()
) -> tuple[Finding, ...]:
    """Return whether depth is z-depth in metres.

    Args:
        measures: Of all samples.
        density: Mean share of the cameras' pixels that have depth.
        misplaced: `split/scenario/agent` of cars whose depth files bear wrong names: they are of
            other directions than the LiDAR's points, so nothing is compared.
    """
    sources = ", ".join(sorted({m.source for m in measures}))
    if sources in ("none", "lidar", ""):
        words = {"none": "there is no depth", "lidar": "depth is the LiDAR itself"}
        reason = words.get(sources, "there are no samples")
        return (cannot_tell(NAME, reason, measured=f"{density:.1%} of pixels"),)
    placed = [m for m in measures if m.place not in misplaced]
    if not placed:
        return (cannot_tell(NAME, f"mend '{ORDER}' first"),)
    stored, z, r = (
        np.concatenate([getattr(m, k) for m in placed]) for k in ("stored", "z_m", "range_m")
    )
    if len(stored) < MIN_POINTS:
        return (cannot_tell(NAME, f"only {len(stored)} points to compare with"),)
    errors = depth_errors(stored, z, r)
    best = min(errors, key=lambda key: errors[key])
    if best != AS_WANTED or errors[best] >= FITS:
        return (_unlike(placed, best if errors[best] < FITS else "", errors[AS_WANTED]),)
    measured = f"z-depth within {errors[best]:.1%} (median of {len(stored)} points), {sources}, "
    odd = _odd_cars(placed)
    return (
        ok(NAME, measured + f"dense in {density:.0%} of pixels"),
        *([_odd(odd)] if odd else []),
    )


def _unlike(measures: Sequence[DepthMeasure], reading: str, off: float) -> Finding:
    """Return what the files hold instead, where a reading of them fits."""
    ratio = np.median(np.concatenate([m.stored / m.z_m for m in measures]))
    places = {m.place for m in measures}
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"stored / LiDAR z = {ratio:.4g}, off by {off:.1%}",
        expected="1, z-depth in metres",
        cause=f"depth files hold {reading}, not z-depth in metres"
        if reading
        else "depth files and LiDAR do not show the same scene",
        hint="convert the files to float32 z-depth in metres"
        if reading
        else "mend the order of the cameras, the poses and the point clouds first",
        where=shortened(places),
        count=len(places),
    )


def depth_errors(stored: Floats, z_m: Floats, range_m: Floats) -> dict[str, float]:
    """Return the median relative error of each reading of the files.

    Args:
        stored: [P] values of the files.
        z_m: [P] z-depths by LiDAR.
        range_m: [P] ranges by LiDAR.
    """
    errors = {}
    for factor, unit in UNITS.items():
        for kind, truth in (("z-depth", z_m), ("range along the ray", range_m)):
            errors[f"{kind} in {unit}"] = _error(stored, truth * factor)
    inverse = stored * z_m
    errors["inverse depth"] = _error(inverse, np.full_like(inverse, np.median(inverse)))
    return errors


def _error(stored: Floats, truth: Floats) -> float:
    return float(np.median(np.abs(np.log(stored / truth))))


def _odd_cars(measures: Sequence[DepthMeasure]) -> dict[str, str]:
    """Return cars whose depth is something else than the others'."""
    odd = {}
    for place in {m.place for m in measures}:
        own = [m for m in measures if m.place == place and len(m.stored) >= MIN_POINTS]
        if not own:
            continue
        parts = ([getattr(m, k) for m in own] for k in ("stored", "z_m", "range_m"))
        stored, z, r = (np.concatenate(p) for p in parts)
        errors = depth_errors(stored, z, r)
        best = min(errors, key=lambda key: errors[key])
        if errors[AS_WANTED] > 2.0 * FITS:
            odd[place] = best if errors[best] < FITS else "another scene than the LiDAR's"
    return odd


def _odd(odd: dict[str, str]) -> Finding:
    return Finding(
        name="depth of single cars",
        status=Status.FAIL,
        measured=f"{len(odd)} cars",
        expected="none",
        cause=f"depth files of some cars hold {next(iter(odd.values()))}",
        hint="see also 'LiDAR cloud against its pose'",
        where=shortened(f"{place}: {words}" for place, words in odd.items()),
        count=len(odd),
    )
