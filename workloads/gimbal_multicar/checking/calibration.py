"""Whether calibration agrees with the images, with itself, and among cars.

A camera's place on its car can be had in two ways: from its pose and the LiDAR's, and from the
file's own `extrinsic`. It must come out the same, at every moment, for every car of a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.poses import (
    TOLERANCE_DEG,
    TOLERANCE_M,
    agree,
    angle_deg,
    camera_order,
    distance_m,
    extrinsic_mistakes,
    is_transposed,
    pose_mistakes,
)
from gimbal_multicar.checking.samples import CarSample
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]


FIXED = "cameras fixed to their cars"


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationMeasure:
    """One car's calibration at one moment.

    Attributes:
        place: `split/scenario/agent`.
        names: Cameras.
        intrinsics: [N, 4] fx, fy, cx, cy in pixels.
        calibrated: [N, 2] height, width that the principal points imply.
        on_disk: [N, 2] height, width of the images, 0 where missing.
        world_from_cameras: [N, 4, 4].
        world_from_lidar: [4, 4].
        written: [N, 4, 4] `lidar_from_cameras_written`.
    """

    place: str
    names: tuple[str, ...]
    intrinsics: Doubles
    calibrated: Doubles
    on_disk: Doubles
    world_from_cameras: Doubles
    world_from_lidar: Doubles
    written: Doubles

    @property
    def lidar_from_cameras(self) -> Doubles:
        """[N, 4, 4] by the poses."""
        return np.asarray(invert_pose(self.world_from_lidar) @ self.world_from_cameras)


def measure_calibration(sample: CarSample) -> CalibrationMeasure:
    """Return one car's calibration."""
    cameras = sample.rig.cameras
    sizes = [
        sample.images[c.name].shape[:2] if c.name in sample.images else (0, 0) for c in cameras
    ]
    k = [c.camera for c in cameras]
    return CalibrationMeasure(
        place=sample.place,
        names=sample.rig.names,
        intrinsics=np.array([[c.fx, c.fy, c.cx, c.cy] for c in k]),
        calibrated=np.array([[c.height, c.width] for c in k]),
        on_disk=np.array(sizes),
        world_from_cameras=sample.frame.world_from_car @ sample.rig.car_from_cameras,
        world_from_lidar=sample.frame.world_from_lidar,
        written=sample.frame.lidar_from_cameras_written,
    )


def judge_calibration(
    measures: Sequence[CalibrationMeasure], panorama: tuple[int, int]
) -> tuple[Finding, ...]:
    """Return what is wrong with the calibration of all samples together.

    Args:
        measures: At least one.
        panorama: Height and width, to recognise images cropped to it.
    """
    return (
        _image_size(measures, panorama),
        _intrinsics(measures),
        _extrinsic(measures),
        _mounts(measures),
    )


def _image_size(measures: Sequence[CalibrationMeasure], panorama: tuple[int, int]) -> Finding:
    name = "images against calibration"
    off = [
        (m, i)
        for m in measures
        for i in range(len(m.names))
        if m.on_disk[i].all() and np.abs(m.on_disk[i] - m.calibrated[i]).max() > 1
    ]
    cameras = sum(int(m.on_disk.all(axis=1).sum()) for m in measures)
    if not off:
        return ok(name, f"{cameras} images, principal points in the middle")
    m, i = off[0]
    (h, w), (kh, kw) = m.on_disk[i], m.calibrated[i]
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{w}x{h}",
        expected=f"{kw}x{kh}, twice the principal point ({m.intrinsics[i, 2]:g}, "
        f"{m.intrinsics[i, 3]:g})",
        cause=_size_cause((h, w), (kh, kw), panorama),
        hint="restore the originals, or write the intrinsics of these images into the YAML files",
        where=shortened({f"{m.place} {m.names[i]}" for m, i in off}),
        count=len(off),
    )


def _size_cause(size: tuple[int, int], wanted: tuple[int, int], panorama: tuple[int, int]) -> str:
    if abs(size[0] * panorama[1] - size[1] * panorama[0]) <= max(size):
        return (
            "images were scaled and centre-cropped to the panorama's shape on disk (the source's "
            "crop): the panorama loses what was cut off"
        )
    if abs(size[0] * wanted[1] - size[1] * wanted[0]) <= max(size):
        return "images were scaled on disk, their intrinsics were not"
    return "images were cropped on disk, their intrinsics were not"


def _intrinsics(measures: Sequence[CalibrationMeasure]) -> Finding:
    name = "intrinsics equal across cars"
    usual = np.median(np.concatenate([m.intrinsics for m in measures]), axis=0)
    apart = {
        m.place: float(np.abs(m.intrinsics / usual - 1.0).max()) if usual.all() else 0.0
        for m in measures
    }
    odd = {place: value for place, value in apart.items() if value > 1e-3}
    words = "fx {:.2f}, fy {:.2f}, cx {:g}, cy {:g}".format(*usual)
    if not odd:
        return ok(name, words)
    return Finding(
        name=name,
        status=Status.WARN,
        measured=f"differ by up to {max(odd.values()):.1%}",
        expected=words,
        cause="cars or cameras with other lenses or image sizes",
        hint="nothing, if that is so: each panorama uses its own calibration",
        where=shortened(odd),
        count=len(odd),
    )


def _extrinsic(measures: Sequence[CalibrationMeasure]) -> Finding:
    name = "extrinsic against poses"
    with_one = [m for m in measures if np.isfinite(m.written).all()]
    if not with_one:
        return cannot_tell(name, "the files have no extrinsic")
    odd = [m for m in with_one if not agree(m.written, m.lidar_from_cameras)]
    if not odd:
        apart = max(distance_m(m.written, m.lidar_from_cameras) for m in with_one)
        return ok(name, f"within {apart * 1000:.2f} mm", f"within {TOLERANCE_M * 1000:g} mm")
    m = odd[0]
    written, posed = m.written, m.lidar_from_cameras
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{distance_m(written, posed):.2f} m and {angle_deg(written, posed):.1f} degrees "
        "apart",
        expected=f"within {TOLERANCE_M:g} m and {TOLERANCE_DEG:g} degrees",
        cause=_extrinsic_cause(odd),
        hint="extrinsic must be T_camera<-lidar = inv(pose of camera) pose of LiDAR, in Unreal's "
        "axes; readers that use it see nothing in its place",
        where=shortened({m.place for m in odd}),
        count=len({m.place for m in odd}),
    )


def _extrinsic_cause(odd: Sequence[CalibrationMeasure]) -> str:
    for words, undo in extrinsic_mistakes().items():
        if all(agree(undo(m.written), m.lidar_from_cameras) for m in odd):
            return words
    if all(is_transposed(m.written, m.lidar_from_cameras) for m in odd):
        return "extrinsic transposed: its translation is in the last row"
    order = camera_order(odd[0].written, odd[0].lidar_from_cameras)
    if order is not None:
        names = odd[0].names
        mixed = ", ".join(f"{names[i]} has {names[j]}'s" for i, j in _moved(order))
        return f"extrinsic of the cameras are mixed up: {mixed}"
    for words, undo in pose_mistakes().items():
        if all(agree(m.written, _undone(m, undo)) for m in odd):
            return f"extrinsic is right, but {words}"
    return "extrinsic and the poses are of different calibrations"


def _moved(order: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return which camera has whose, by the first."""
    return sorted((i, j) for j, i in enumerate(order) if i != j)


def _undone(m: CalibrationMeasure, undo: Any) -> Doubles:
    return np.asarray(invert_pose(undo(m.world_from_lidar)) @ undo(m.world_from_cameras))


def _mounts(measures: Sequence[CalibrationMeasure]) -> Finding:
    name = FIXED
    groups: dict[tuple[str, ...], list[CalibrationMeasure]] = {}
    for m in measures:
        groups.setdefault((m.place, *m.names), []).append(m)
    rigs = [group for group in groups.values() if len(group) > 1]
    whole: dict[tuple[str, ...], list[CalibrationMeasure]] = {}
    for m in measures:
        whole.setdefault(m.names, []).append(m)
    apart = [_wobble([m.lidar_from_cameras for m in group]) for group in whole.values()]
    if all(not moves for moves, _ in apart):
        worst = max(metres for _, metres in apart)
        return ok(name, f"one rig for all {len(measures)} samples, within {worst * 1000:.2f} mm")
    moving = [g for g in rigs if _wobble([m.lidar_from_cameras for m in g])[0]]
    words = next(
        (
            words
            for words, undo in pose_mistakes().items()
            if not any(_wobble([_undone(m, undo) for m in g])[0] for g in whole.values())
        ),
        "",
    )
    fails = bool(words or moving)
    return Finding(
        name=name,
        status=Status.FAIL if fails else Status.WARN,
        measured=f"cameras are up to {max(metres for _, metres in apart):.2f} m from where other "
        "samples have them",
        expected=f"within {TOLERANCE_M:g} m and {TOLERANCE_DEG:g} degrees",
        cause=words or ("cameras move on their cars" if moving else "cars with different rigs"),
        hint="pose is x, y, z, roll, yaw, pitch in Unreal's axes; see docs/multicar.md"
        if fails
        else "nothing, if cars differ",
        where=shortened({m.place for g in moving or whole.values() for m in g}),
        count=len(moving or measures),
    )


def _wobble(poses: Sequence[Doubles]) -> tuple[bool, float]:
    """Return whether [N, 4, 4] poses differ among samples, and by how many metres."""
    first = poses[0]
    return not all(agree(p, first) for p in poses), max(distance_m(p, first) for p in poses)
