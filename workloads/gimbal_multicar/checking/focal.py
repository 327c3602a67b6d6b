"""Whether focal lengths fit depth files and LiDAR, camera by camera.

Points projected with a wrong focal length land on other surfaces than their own. Each focal length
is divided by trial factors, and depth files and LiDAR must agree best at 1. A camera is named only
where a factor explains what is seen: other mistakes are other checks'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.samples import CarSample, points_in_car
from gimbal_vision.cameras import Pinhole
from gimbal_vision.poses import invert_pose, transform_points

Doubles = np.ndarray[Any, np.dtype[np.float64]]

NAME = "focal lengths against LiDAR"
FACTORS = np.concatenate([np.geomspace(0.7, 1.0, 16), 1.0 / np.geomspace(0.7, 1.0, 16)[-2::-1]])
"""Wrong by these, in steps of 2.4 %; index `AS_IS` is 1."""
AS_IS = 15
FAR_M = 120.0
MIN_POINTS = 50
MAX_POINTS = 3000
FITS = 0.06
"""Median of |log(depth / LiDAR)| up to which both are of the same surface."""
NOTABLE = 0.03
"""An error below this is not worth an explanation."""
BETTER = 0.5
"""Share of the error as written that must be left at another factor for it to be believed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FocalMeasure:
    """One camera of one sample.

    Attributes:
        place: `split/scenario/agent`.
        camera: Its name.
        errors: [F] median |log(depth / LiDAR z)| at each of `FACTORS`, NaN with too few points.
    """

    place: str
    camera: str
    errors: Doubles


def measure_focal(sample: CarSample) -> tuple[FocalMeasure, ...]:
    """Return how well depth and LiDAR agree at other focal lengths; empty without both.

    Args:
        sample: The car; its LiDAR must be where its pose says.
    """
    if sample.points_lidar is None or sample.depth_source not in ("npy", "opv2v_h"):
        return ()
    points_car = points_in_car(sample)
    return tuple(
        FocalMeasure(
            place=sample.place,
            camera=c.name,
            errors=_errors(
                c.camera,
                np.asarray(transform_points(invert_pose(c.car_from_camera), points_car)),
                np.asarray(sample.depths[c.name]),
            ),
        )
        for c in sample.rig.cameras
        if c.name in sample.depths
    )


def _errors(camera: Pinhole, points: Doubles, depth: Any) -> Doubles:
    """Return [F]; points are in the camera's axes."""
    ahead = points[(points[:, 2] > 1.0) & (points[:, 2] < FAR_M)]
    ahead = ahead[:: max(1, len(ahead) // MAX_POINTS)]
    return np.array([_error(_scaled(camera, f), ahead, depth) for f in FACTORS])


def _scaled(camera: Pinhole, factor: float) -> Pinhole:
    return replace(camera, fx=camera.fx / factor, fy=camera.fy / factor)


def _error(camera: Pinhole, points: Doubles, depth: Any) -> float:
    pixels, _ = camera.project(points)
    u, v = np.moveaxis(np.nan_to_num(pixels, nan=-1.0), -1, 0)
    height, width = depth.shape
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    stored = depth[v[inside].astype(np.int64), u[inside].astype(np.int64)].astype(np.float64)
    known = np.isfinite(stored) & (stored > 0)
    if known.sum() < MIN_POINTS:
        return float("nan")
    return float(np.median(np.abs(np.log(stored[known] / points[inside, 2][known]))))


def judge_focal(measures: Sequence[FocalMeasure]) -> Finding:
    """Return whether any camera's focal length is wrong: of all cars, or of single ones.

    Args:
        measures: Of all samples.
    """
    told = [m for m in measures if np.isfinite(m.errors).all()]
    if not told:
        return cannot_tell(NAME, "there is no dense depth with LiDAR points to compare with")
    of_all = _errors_of(told, lambda m: m.camera)
    of_each = _errors_of(told, lambda m: f"{m.place} {m.camera}")
    wrong = _wrong(of_all)
    single = {} if wrong else _wrong(of_each)
    as_is = {key: float(errors[AS_IS]) for key, errors in of_all.items()}
    if wrong or single:
        return _failed(wrong or single, of_each if single else of_all)
    if min(as_is.values()) > FITS:
        return cannot_tell(NAME, "depth and LiDAR do not agree in any camera: mend that first")
    fits = [key for key, error in as_is.items() if error <= FITS]
    return ok(
        NAME, f"{len(fits)} of {len(as_is)} cameras within {max(as_is.values()):.1%} of LiDAR"
    )


def _errors_of(
    measures: Sequence[FocalMeasure], key: Callable[[FocalMeasure], str]
) -> dict[str, Doubles]:
    """Return [F] median errors of each group."""
    groups: dict[str, list[Doubles]] = {}
    for m in measures:
        groups.setdefault(key(m), []).append(m.errors)
    return {name: np.asarray(np.median(errors, axis=0)) for name, errors in groups.items()}


def _wrong(errors: Mapping[str, Doubles]) -> dict[str, float]:
    """Return groups whose focal length is clearly wrong, and by which factor."""
    found = {}
    for name, of_factor in errors.items():
        best = int(of_factor.argmin())
        as_is = of_factor[AS_IS]
        if abs(best - AS_IS) > 1 and as_is > NOTABLE and of_factor[best] < BETTER * as_is:
            found[name] = float(FACTORS[best])
    return found


def _failed(wrong: Mapping[str, float], errors: Mapping[str, Doubles]) -> Finding:
    cameras = sorted({name.rsplit(" ", 1)[-1] for name in wrong})
    factor = float(np.median([*wrong.values()]))
    kind = "long" if factor > 1 else "short"
    as_is = max(float(errors[name][AS_IS]) for name in wrong)
    left = max(float(errors[name].min()) for name in wrong)
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"depth and LiDAR are {as_is:.0%} apart, and {left:.1%} with focal lengths "
        f"divided by {factor:.2f}",
        expected="closest with focal lengths as written",
        cause=f"focal length of {' and '.join(cameras)} is too {kind}, about {factor:.2f} times "
        "what it should be",
        hint="write fx and fy of these cameras as their images were made",
        where=shortened(f"{name}: {f:.2f} times" for name, f in wrong.items()),
        count=len(wrong),
    )
