"""Whether the world is the right way round: LiDAR points must fall into the boxes of vehicles.

A left-handed world read as right-handed mirrors the points but not the boxes, or the boxes but not
the points; a flipped or wrongly ordered angle turns one against the other. Each such mistake is
tried, and what is read must beat all of them. Points near the ground are left out: they lie in any
box that stands on a road.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.box_hits import Cloud, Hits
from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.poses import pose_mistakes
from gimbal_multicar.checking.samples import CarSample
from gimbal_vision.poses import invert_pose

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

REACH_M = 40.0
"""Boxes farther away get too few points to tell their sides."""
OWN_CAR_M = 2.5
MIN_BOXES = 6
AS_READ = "as read"
MIRRORED = "point clouds are mirrored left to right: their world is right-handed"
ALIKE = 0.1
"""A mistake made in all poses is likelier than a turn of each cloud that fits as well."""
CLEAR = 0.25
"""By how much a hypothesis must beat the data as read to be named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HandednessMeasure:
    """One car's points and boxes under each hypothesis.

    Attributes:
        place: `split/scenario/agent`.
        hits: Hypothesis to hits, `AS_READ` among them.
        turned_deg: Angle about the vertical by which the points fit best, where they do not fit as
            read; else 0.
        turned: Hits at that angle.
    """

    place: str
    hits: Mapping[str, Hits]
    turned_deg: float
    turned: Hits

    @property
    def fits(self) -> bool:
        """Whether the points may serve as evidence for other things."""
        read = self.hits[AS_READ]
        return read.boxes < 2 or read.score > 0.3


def measure_handedness(sample: CarSample) -> HandednessMeasure | None:
    """Return how points and boxes fit; None without points or boxes near enough."""
    boxes = _boxes(sample)
    if sample.points_lidar is None or not len(sample.points_lidar) or not len(boxes[0]):
        return None
    cloud = Cloud(_near(sample.points_lidar))
    lidar = sample.frame.world_from_lidar
    hits = {words: cloud.count(*placed(lidar, boxes)) for words, placed in _mistakes().items()}
    turned_deg, turned = 0.0, hits[AS_READ]
    if hits[AS_READ].score < 0.5 and hits[AS_READ].boxes > 1:
        turned_deg, turned = cloud.best_turn(np.asarray(invert_pose(lidar) @ boxes[0]), boxes[1])
    return HandednessMeasure(place=sample.place, hits=hits, turned_deg=turned_deg, turned=turned)


Boxes = tuple[Floats, Floats]
"""[B, 4, 4] poses and [B, 3] half extents."""
_Placing = Callable[[Floats, Boxes], Boxes]


def _mistakes() -> Mapping[str, _Placing]:
    """Return how each hypothesis places boxes among the points, from world_from_lidar and boxes.

    Mirroring points is mirroring boxes, whose sides are alike; so points never move.
    """
    found: dict[str, _Placing] = {
        AS_READ: lambda lidar, b: (np.asarray(invert_pose(lidar) @ b[0]), b[1]),
        MIRRORED: lambda lidar, b: (_MIRROR @ invert_pose(lidar) @ b[0] @ _MIRROR, b[1]),
        "the sign of yaw is flipped in the boxes": lambda lidar, b: (
            np.asarray(invert_pose(lidar) @ _turned_in_place(b[0])),
            b[1],
        ),
        "length and width of the boxes have changed places": lambda lidar, b: (
            np.asarray(invert_pose(lidar) @ b[0]),
            b[1][:, [2, 1, 0]],
        ),
    }
    for words, undo in pose_mistakes().items():
        found[words] = _undone(undo)
    return found


_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def _undone(undo: Callable[[Floats], Floats]) -> _Placing:
    return lambda lidar, b: (np.asarray(invert_pose(undo(lidar)) @ undo(b[0])), b[1])


def _turned_in_place(poses: Floats) -> Floats:
    turned = np.array(poses)
    mirror = _MIRROR[:3, :3]
    turned[..., :3, :3] = mirror @ poses[..., :3, :3] @ mirror
    return turned


def _boxes(sample: CarSample) -> Boxes:
    """Return the boxes near enough, without the car's own."""
    lidar = sample.frame.world_from_lidar
    poses = [v.world_from_box for v in sample.frame.vehicles]
    halves = [v.half_extent_m for v in sample.frame.vehicles]
    if not poses:
        return np.empty((0, 4, 4)), np.empty((0, 3))
    stacked = np.stack(poses)
    away = np.linalg.norm(stacked[:, :3, 3] - lidar[:3, 3], axis=-1)
    near = (away < REACH_M) & (away > OWN_CAR_M)
    return stacked[near], np.stack(halves)[near]


def _near(points: Floats) -> Floats:
    away = np.hypot(points[:, 0], points[:, 2])
    near = points[(away < REACH_M + 5.0) & np.isfinite(points).all(axis=1)]
    return np.asarray(near, np.float64)


def total_hits(measures: Sequence[HandednessMeasure]) -> dict[str, Hits]:
    """Return the hits of all samples by hypothesis."""
    names = measures[0].hits if measures else ()
    return {name: sum((m.hits[name] for m in measures), Hits()) for name in names}


def judge_handedness(measures: Sequence[HandednessMeasure]) -> tuple[Finding, ...]:
    """Return whether points fall into boxes, and if not, what makes them."""
    name = "LiDAR points in boxes"
    total = total_hits(measures)
    if not measures or total[AS_READ].boxes < MIN_BOXES:
        boxes = total[AS_READ].boxes if measures else 0
        return (cannot_tell(name, f"only {boxes} boxes near enough with a point cloud"),)
    read = total[AS_READ]
    rival = max((n for n in total if n != AS_READ), key=lambda n: total[n].score)
    turned = _turned_cars(measures)
    words = (
        f"{read.hit} of {read.boxes} boxes hit, {read.inside / max(1, read.shell):.0%} of the "
        f"points around them inside (mirrored: {total[MIRRORED].hit} hit)"
    )
    as_turned = sum((m.turned for m in measures), Hits()).score if turned else 0.0
    if total[rival].score > max(read.score + CLEAR, as_turned - ALIKE):
        return (_failed(name, words, rival, measures),)
    findings = [_turned(turned)] if turned else []
    if read.score > max(total[rival].score, 0.3):
        return (ok(name, words), *findings)
    if findings:
        return tuple(findings)
    cause = "LiDAR, its pose and the boxes do not belong together"
    return (_failed(name, words, cause, measures),)


def _failed(name: str, words: str, cause: str, measures: Sequence[HandednessMeasure]) -> Finding:
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=words,
        expected="most boxes near the car hold points, more than in any mirrored or turned world",
        cause=cause,
        hint="poses are x, y, z, roll, yaw, pitch in Unreal's left-handed axes (x forward, y "
        "right, z up), R = Rz(yaw) Ry(-pitch) Rx(-roll)",
        where=shortened({m.place for m in measures}),
        count=len({m.place for m in measures}),
    )


def _turned_cars(measures: Sequence[HandednessMeasure]) -> dict[str, float]:
    """Return cars whose points fit after one and the same turn about the vertical."""
    found: dict[str, float] = {}
    for place in {m.place for m in measures}:
        own = [m for m in measures if m.place == place]
        before = sum((m.hits[AS_READ] for m in own), Hits())
        after = sum((m.turned for m in own), Hits())
        angles = [m.turned_deg for m in own if m.turned_deg]
        if angles and after.boxes > 2 and after.score > before.score + CLEAR:
            found[place] = float(np.median(angles))
    return found


def _turned(cars: Mapping[str, float]) -> Finding:
    return Finding(
        name="LiDAR cloud against its pose",
        status=Status.FAIL,
        measured=f"{len(cars)} cars",
        expected="none",
        cause="point cloud rotated relative to lidar_pose by about "
        + ", ".join(sorted({f"{-angle:.0f}" for angle in cars.values()}))
        + " degrees",
        hint="leave these cars' points out (published OPV2V: train/2021_08_18_09_02_56, car 449, "
        "OpenCOOD issue 170)",
        where=shortened(f"{place}: {-angle:.0f} degrees" for place, angle in cars.items()),
        count=len(cars),
    )
