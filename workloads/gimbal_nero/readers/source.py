"""What every reader returns: photographs on disk with their lenses and poses, nothing decoded yet.

Pixels are read later, one photograph at a time, so that a folder of large ones needs little memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gimbal_nero.capture import Split

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Layout = Literal["glossy_synthetic", "transforms", "colmap", "sfm"]


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A camera model of COLMAP's list with its parameters.

    Attributes:
        model: COLMAP's name, such as `PINHOLE` (fx, fy, cx, cy) or `OPENCV`.
        params: In COLMAP's order; pixels, pixel centres at +.5.
        height: Of the image it is for; none: whatever the image has.
        width: Likewise.
    """

    model: str
    params: tuple[float, ...]
    height: int | None = None
    width: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """One photograph on disk.

    Attributes:
        name: Unique in the source.
        path: The image's file.
        lens: Its camera.
        cam2source: [4, 4] rigid, OpenCV axes.
        mask_path: Image that is bright where the object is; none: nobody said.
        points_seen: Sparse points it sees; none: unknown.
        reprojection_px: Their mean reprojection error in pixels; none: unknown.
    """

    name: str
    path: Path
    lens: Lens
    cam2source: Doubles
    mask_path: Path | None = None
    points_seen: int | None = None
    reprojection_px: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A view that is left out, and why, for a person to read."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """All photographs of one object in their own frame.

    Attributes:
        root: The folder they came from.
        layout: How it was laid out.
        photos: In natural order of their names (2 before 10).
        dropped: What was named but is not there.
        points: [M, 3] sparse points in the source frame.
        object_points: [M, 3] points of the object alone, cropped by a person; none: nobody did.
        up: [3] direction in the source frame; none: unknown.
        forward: [3] likewise.
        splits: Names by split, where the source says so.
    """

    root: Path
    layout: Layout
    photos: tuple[Photo, ...]
    dropped: tuple[Dropped, ...] = ()
    points: Doubles = field(default_factory=lambda: np.zeros((0, 3)))
    object_points: Doubles | None = None
    up: Doubles | None = None
    forward: Doubles | None = None
    splits: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
