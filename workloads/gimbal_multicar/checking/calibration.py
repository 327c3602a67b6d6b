"""Whether calibration agrees with the images, with itself, and among cars.

A camera's place on its car by the poses must come out the same at every moment, for every car of a
kind. The other way to that place, the files' `extrinsic`, is judged in `extrinsics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from gimbal_multicar.checking.extrinsics import Extrinsics
from gimbal_multicar.checking.finding import Finding, Status, ok, shortened
from gimbal_multicar.checking.poses import (
    TOLERANCE_DEG,
    TOLERANCE_M,
    agree,
    distance_m,
    pose_mistakes,
)
from gimbal_multicar.checking.samples import CarSample
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]


FIXED = "cameras fixed to their cars"
_SAME = 1e-3
"""Share by which intrinsics may differ."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationMeasure:
    """One car's calibration at one moment.

    Attributes:
        place: `split/scenario/agent`.
        frame: The moment.
        names: Cameras.
        intrinsics: [N, 4] fx, fy, cx, cy in pixels.
        calibrated: [N, 2] height, width that the principal points imply.
        on_disk: [N, 2] height, width of the images, 0 where missing.
        world_from_cameras: [N, 4, 4].
        world_from_lidar: [4, 4].
        written: [N, 4, 4] `lidar_from_cameras_written`.
    """

    place: str
    frame: str
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

    @property
    def extrinsics(self) -> Extrinsics:
        """What is written beside the poses."""
        known = np.asarray(np.isfinite(self.written).all(axis=(-2, -1)))
        return Extrinsics(
            place=f"{self.place}/{self.frame}",
            names=tuple(compress(self.names, known)),
            written=self.written[known],
            world_from_cameras=self.world_from_cameras[known],
            world_from_lidar=self.world_from_lidar,
        )


def measure_calibration(sample: CarSample) -> CalibrationMeasure:
    """Return one car's calibration."""
    cameras = sample.rig.cameras
    sizes = [
        sample.images[c.name].shape[:2] if c.name in sample.images else (0, 0) for c in cameras
    ]
    k = [c.camera for c in cameras]
    return CalibrationMeasure(
        place=sample.place,
        frame=sample.frame.id.frame,
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
    """Compare each camera with those of its name: cameras of one car may well differ."""
    name = "intrinsics equal across cars"
    named: dict[str, list[Doubles]] = {}
    for m in measures:
        for camera, numbers in zip(m.names, m.intrinsics, strict=True):
            named.setdefault(camera, []).append(numbers)
    usual = {camera: np.median(numbers, axis=0) for camera, numbers in named.items()}
    apart = {
        f"{m.place} {camera}": float(np.abs(numbers / usual[camera] - 1.0).max())
        for m in measures
        for camera, numbers in zip(m.names, m.intrinsics, strict=True)
        if usual[camera].all()
    }
    odd = {place: value for place, value in apart.items() if value > _SAME}
    if not odd:
        return ok(name, _lenses(usual))
    return Finding(
        name=name,
        status=Status.WARN,
        measured=f"differ by up to {max(odd.values()):.1%}",
        expected=_lenses(usual),
        cause="cars with other lenses or image sizes",
        hint="nothing, if that is so: each panorama uses its own calibration",
        where=shortened(odd),
        count=len(odd),
    )


def _lenses(usual: Mapping[str, Doubles]) -> str:
    """Return each lens in words, and which cameras have it where there are several."""
    lenses: list[tuple[Doubles, list[str]]] = []
    for camera in sorted(usual):
        for numbers, cameras in lenses:
            if np.allclose(numbers, usual[camera], rtol=_SAME):
                cameras.append(camera)
                break
        else:
            lenses.append((usual[camera], [camera]))
    words = ["fx {:.2f}, fy {:.2f}, cx {:g}, cy {:g}".format(*numbers) for numbers, _ in lenses]
    if len(lenses) == 1:
        return words[0]
    return "; ".join(f"{', '.join(c)}: {w}" for w, (_, c) in zip(words, lenses, strict=True))


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
