"""Whether each camera's `extrinsic` says what its pose and the LiDAR's say.

Judged camera by camera: a single wrong matrix among a million is named with its frame, and a
mistake is looked for in the wrong ones only. Files give their numbers as text (`camera_text`), so
every YAML file of a set is compared, not a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.camera_text import CameraNumbers
from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.poses import (
    TOLERANCE_DEG,
    TOLERANCE_M,
    agreeing,
    angle_deg,
    distance_m,
    extrinsic_mistakes,
    looks_transposed,
    pose_mistakes,
)
from gimbal_multicar.opv2v.axes import to_opencv, x_to_world
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

NAME = "extrinsic against poses"
MIXED = "extrinsic of the cameras are mixed up"
UNKNOWN = "extrinsic and the poses are of different calibrations"


@dataclass(frozen=True, kw_only=True, eq=False)
class Extrinsics:
    """The cameras of one file, in OpenCV's axes.

    Attributes:
        place: `split/scenario/agent/frame`.
        names: Cameras.
        written: [N, 4, 4] `lidar_from_camera` as `extrinsic` has it.
        world_from_cameras: [N, 4, 4].
        world_from_lidar: [4, 4].
    """

    place: str
    names: tuple[str, ...]
    written: Doubles
    world_from_cameras: Doubles
    world_from_lidar: Doubles

    @property
    def posed(self) -> Doubles:
        """[N, 4, 4] `lidar_from_camera` by the poses."""
        return np.asarray(invert_pose(self.world_from_lidar) @ self.world_from_cameras)


@dataclass(frozen=True, kw_only=True)
class ExtrinsicScan:
    """What many files say.

    Attributes:
        cameras: Matrices that were compared.
        worst_m: How far apart those are that agree.
        odd: Files with one that does not.
    """

    cameras: int = 0
    worst_m: float = 0.0
    odd: tuple[Extrinsics, ...] = ()


def compare(files: Sequence[Extrinsics]) -> ExtrinsicScan:
    """Compare all cameras of some files."""
    if not files:
        return ExtrinsicScan()
    written = np.concatenate([f.written for f in files])
    posed = np.concatenate([f.posed for f in files])
    fits = agreeing(written, posed)
    of_files = np.split(fits, np.cumsum([len(f.names) for f in files])[:-1])
    return ExtrinsicScan(
        cameras=len(fits),
        worst_m=distance_m(written[fits], posed[fits]) if fits.any() else 0.0,
        odd=tuple(f for f, sound in zip(files, of_files, strict=True) if not sound.all()),
    )


def from_text(
    place: str, frames: Mapping[str, CameraNumbers], lidars: Mapping[str, Sequence[float]]
) -> list[Extrinsics]:
    """Return one car's files, without those that tell too little.

    Args:
        place: `split/scenario/agent`.
        frames: Frame to the numbers of its cameras.
        lidars: Frame to `lidar_pose`.
    """
    usable = [frame for frame, cameras in frames.items() if cameras and frame in lidars]
    if not usable:
        return []
    numbers = [pair for frame in usable for pair in frames[frame].values()]
    ends = np.cumsum([len(frames[frame]) for frame in usable])[:-1]
    cameras = np.split(to_opencv(x_to_world(np.array([cords for cords, _ in numbers]))), ends)
    matrices = np.array([extrinsic for _, extrinsic in numbers]).reshape(-1, 4, 4)
    written = np.split(_inverted(matrices), ends)
    poses = to_opencv(x_to_world(np.array([lidars[frame] for frame in usable])))
    return [
        Extrinsics(
            place=f"{place}/{frame}",
            names=tuple(frames[frame]),
            written=written[i],
            world_from_cameras=cameras[i],
            world_from_lidar=poses[i],
        )
        for i, frame in enumerate(usable)
    ]


def _inverted(extrinsic: Doubles) -> Doubles:
    """Return [N, 4, 4] `lidar_from_camera` in OpenCV's axes, NaN where there is no inverse."""
    whole = np.abs(np.linalg.det(extrinsic)) > 1e-12
    found = np.full(extrinsic.shape, np.nan)
    found[whole] = to_opencv(np.linalg.inv(extrinsic[whole]))
    return found


def together(scans: Sequence[ExtrinsicScan]) -> ExtrinsicScan:
    """Return what all of them say."""
    return ExtrinsicScan(
        cameras=sum(s.cameras for s in scans),
        worst_m=max((s.worst_m for s in scans), default=0.0),
        odd=tuple(file for s in scans for file in s.odd),
    )


def judge_extrinsics(scan: ExtrinsicScan) -> Finding:
    """Return whether all matrices agree with the poses, and the mistake in those that do not."""
    if not scan.cameras:
        return cannot_tell(NAME, "the files have no extrinsic")
    if not scan.odd:
        return ok(
            NAME,
            f"{scan.cameras} cameras within {scan.worst_m * 1000:.2f} mm",
            f"within {TOLERANCE_M * 1000:g} mm",
        )
    odd = _Odd.of(scan.odd)
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{len(odd.places)} of {scan.cameras} cameras" + _apart(odd),
        expected=f"within {TOLERANCE_M:g} m and {TOLERANCE_DEG:g} degrees",
        cause=_causes(odd, scan.odd),
        hint="extrinsic must be T_camera<-lidar = inv(pose of camera) pose of LiDAR, in Unreal's "
        "axes; readers that use it see nothing in its place",
        where=shortened(odd.places),
        count=len(odd.places),
    )


def _apart(odd: _Odd) -> str:
    known = np.isfinite(odd.written).all(axis=(-2, -1))
    if not known.any():
        return ", of which none is a pose"
    written, posed = odd.written[known], odd.posed[known]
    return f", up to {distance_m(written, posed):.2f} m and {angle_deg(written, posed):.1f} degrees"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Odd:
    """The cameras that do not agree, of all files, one after another."""

    places: list[str]
    written: Doubles
    world_from_cameras: Doubles
    world_from_lidars: Doubles
    swapped: Bools

    @property
    def posed(self) -> Doubles:
        return np.asarray(invert_pose(self.world_from_lidars) @ self.world_from_cameras)

    @staticmethod
    def of(files: Sequence[Extrinsics]) -> _Odd:
        parts = [(f, np.nonzero(~agreeing(f.written, f.posed))[0]) for f in files]
        return _Odd(
            places=[f"{f.place} {f.names[i]}" for f, odd in parts for i in odd],
            written=np.concatenate([f.written[odd] for f, odd in parts]),
            world_from_cameras=np.concatenate([f.world_from_cameras[odd] for f, odd in parts]),
            world_from_lidars=np.concatenate(
                [np.broadcast_to(f.world_from_lidar, (len(odd), 4, 4)) for f, odd in parts]
            ),
            swapped=np.concatenate(
                [np.isin(odd, list(_owners(f.written, f.posed))) for f, odd in parts]
            ),
        )


def _owners(written: Doubles, posed: Doubles) -> dict[int, int]:
    """Return for each camera that has another's extrinsic, whose."""
    count = len(written)
    pairs = (np.broadcast_to(x, (count, count, 4, 4)) for x in (written[:, None], posed[None]))
    same = agreeing(*pairs)
    return {int(i): int(j) for i, j in np.argwhere(same) if i != j and not same[i, i]}


def _causes(odd: _Odd, files: Sequence[Extrinsics]) -> str:
    """Return the mistakes that explain all cameras, the most frequent one first."""
    explained = _explained(odd)
    left = np.ones(len(odd.places), np.bool_)
    parts: list[tuple[str, int]] = []
    while left.any():
        words, fits = max(explained.items(), key=lambda item: int((item[1] & left).sum()))
        count = int((fits & left).sum())
        if not count:
            parts.append((UNKNOWN, int(left.sum())))
            break
        parts.append((words + _who(words, files), count))
        left &= ~fits
    if len(parts) == 1:
        return parts[0][0]
    return "; ".join(f"{words} ({count} cameras)" for words, count in parts)


def _explained(odd: _Odd) -> dict[str, Bools]:
    """Return each mistake, and the cameras in which it was made, the likelier mistakes first."""
    posed = odd.posed
    found = {
        words: agreeing(undo(odd.written), posed) for words, undo in extrinsic_mistakes().items()
    }
    found["extrinsic transposed: its translation is in the last row"] = looks_transposed(
        odd.written, posed
    )
    found[MIXED] = odd.swapped
    for words, undo in pose_mistakes().items():
        lidars, cameras = undo(odd.world_from_lidars), undo(odd.world_from_cameras)
        found[f"extrinsic is right, but {words}"] = agreeing(
            odd.written, np.asarray(invert_pose(lidars) @ cameras)
        )
    return found


def _who(words: str, files: Sequence[Extrinsics]) -> str:
    if words != MIXED:
        return ""
    file = next(f for f in files if _owners(f.written, f.posed))
    owners = sorted(_owners(file.written, file.posed).items())
    return ": " + ", ".join(f"{file.names[i]} has {file.names[j]}'s" for i, j in owners)
