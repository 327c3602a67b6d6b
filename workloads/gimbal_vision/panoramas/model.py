"""What goes into and comes out of the panorama builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gimbal_vision.cameras import Panorama

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

Blend = Literal["nearest", "feather"]
Warp = Literal["rotation", "ranges", "splat", "fixed_point"]

NO_CAMERA = 255
"""What `camera_index` says where no camera sees."""

MAX_RANGE_M = 300.0
"""Farther surfaces count as sky (CARLA stores the sky at 1000 m)."""

MIN_COS_VIEW_ANGLE = 0.05
"""The source's `view_selection_margin`."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How images are fused.

    Attributes:
        blend: `nearest` takes each pixel from the camera whose optical axis is closest in angle;
            `feather` mixes colours (never depth) where cameras overlap, by distance to the border.
        feather_px: Width of the ramps, at each image's border and along the line between two
            views, in the image's own pixels.
        min_cos_view_angle: A camera is asked only where cos of the angle to its axis exceeds this
            (the source's `view_selection_margin`).
        warp: `rotation` takes all light to come from infinitely far, and ranges from where they
            were measured: they are the camera's own. The others give ranges from the panorama's
            centre: `ranges` keeps the rotation's colours and takes the nearest of what was measured
            in each pixel, for sparse depth and point clouds; `splat` and `fixed_point` need dense
            depth and look colours up where the centre would have seen them as well.
        depth_consistency: Relative difference of ranges up to which two measurements are of the
            same surface.
        max_hole_px: Holes of the splatted range up to this size are filled from their neighbours.
        max_range_m: Farther depth counts as sky.
    """

    blend: Blend = "feather"
    feather_px: float = 24.0
    min_cos_view_angle: float = MIN_COS_VIEW_ANGLE
    warp: Warp = "rotation"
    depth_consistency: float = 0.05
    max_hole_px: int = 2
    max_range_m: float = MAX_RANGE_M


@dataclass(frozen=True, eq=False)
class PanoramaImage:
    """One car and moment as a panorama.

    Three mask layers, from static to dynamic: what the rig can see (`coverage`), where there is a
    surface to speak of (`non_ambiguous`: covered and not sky), where its range is known (`valid`).
    What calibration alone decides is shared among a rig's panoramas and read-only.

    Attributes:
        camera: The panorama's geometry.
        rgb: [H, W, 3] uint8, 0 where not covered.
        range_m: [H, W] float32 metres along the ray, 0 = unknown: from the panorama's centre; but
            with `rotation` from the camera that gave the colour, wherever on the car it is.
        coverage: [H, W] bool.
        non_ambiguous: [H, W] bool; what was not measured is not sky, so without any depth, or with
            a point cloud alone, equal to coverage.
        valid: [H, W] bool, non_ambiguous and range_m > 0.
        camera_index: [H, W] uint8 index of the camera that gave the colour (most of it, if
            feathered), `NO_CAMERA` where not covered.
        moved_share: Share of covered pixels whose colour was taken more than 4 pixels (of the
            panorama) from where the rotation alone would have taken it; 0 for `rotation` and
            `ranges`, which take it there.
    """

    camera: Panorama
    rgb: Bytes
    range_m: Floats
    coverage: Bools
    non_ambiguous: Bools
    valid: Bools
    camera_index: Bytes
    moved_share: float
