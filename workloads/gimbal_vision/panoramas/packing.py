"""How a rig, its images and the options are handed to the kernels of the warps.

Kernels take cameras as one plain array and never a slice of it: passing several arrays, or a view
(which is reference-counted), costs a kernel more than its arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_vision.panoramas.model import BuildOptions
from gimbal_vision.panoramas.rig import Rig

Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Ids = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

Cameras = Doubles
"""[N, 19]: fx, fy, cx, cy, car_from_camera [3, 4] row by row, height, width, first pixel."""

Scene = tuple[Floats, Bytes]
"""z-depths [S] and colours [S, 3] of all cameras' pixels, one after another."""

Settings = tuple[float, float, float, float]
"""Least cosine of the view angle, relative agreement of ranges, range of the sky, feather in pixels
(0: colour is the camera's that is closest in angle)."""

Point = tuple[float, float, float]
Sight = tuple[float, float, float, float]
"""u, v, range and cosine of the view angle."""

SAME_SLOPE = 1.5
"""Four neighbouring ranges within this factor belong to one slanted surface, not to an edge."""

FAR_M = 1e12
"""Parallax at this distance is below any pixel: what lies there is looked up by rotation alone."""

AGREES, IS_SKY, IS_SEEN = 0, 1, 2
"""What must have been measured where a point is: its range, sky, or anything at all."""

KNOWN, SKY, HIDDEN, UNKNOWN = 1, 2, 3, 4
"""What became of a covered pixel; 0 is for others. Hidden: the rig looks there, but at something
else than the centre would see. Unknown: it measured nothing there."""


def pack_cameras(rig: Rig) -> Cameras:
    """Return the cameras' numbers; `first pixel` counts the pixels of those before."""
    models = [c.camera for c in rig.cameras]
    first = np.cumsum([0] + [m.height * m.width for m in models[:-1]])
    return np.array(
        [
            [m.fx, m.fy, m.cx, m.cy, *pose[:3].ravel(), m.height, m.width, f]
            for m, pose, f in zip(models, rig.car_from_cameras, first, strict=True)
        ],
        np.float64,
    )


def pack_settings(options: BuildOptions) -> Settings:
    """Return the options that looking colours up depends on."""
    return (
        float(options.min_cos_view_angle),
        float(options.depth_consistency),
        float(options.max_range_m),
        float(options.feather_px) if options.blend == "feather" else 0.0,
    )


def pack_scene(images: Sequence[Bytes], depths: Sequence[Floats]) -> Scene:
    """Return copies of all z-depths and colours, one camera after another."""
    return (
        np.concatenate([d.reshape(-1) for d in depths]),
        np.concatenate([i.reshape(-1, 3) for i in images]),
    )
