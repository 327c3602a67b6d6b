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
Warp = Literal["rotation", "splat", "fixed_point"]


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
        warp: `rotation` takes all light to come from infinitely far; `splat` and `fixed_point` use
            depth to look up where the panorama's own centre would have seen it.
        depth_consistency: Relative difference of ranges up to which two measurements are of the
            same surface.
        max_hole_px: Holes of the splatted range up to this size are filled from their neighbours.
        max_range_m: Farther depth counts as sky (CARLA stores the sky at 1000 m).
    """

    blend: Blend = "feather"
    feather_px: float = 24.0
    min_cos_view_angle: float = 0.05
    warp: Warp = "rotation"
    depth_consistency: float = 0.05
    max_hole_px: int = 2
    max_range_m: float = 300.0


@dataclass(frozen=True, eq=False)
class PanoramaImage:
    """One car and moment as a panorama.

    Three mask layers, from static to dynamic: what the rig can see (`coverage`), where there is a
    surface to speak of (`non_ambiguous`: covered and not sky), where its range is known (`valid`).
    What calibration alone decides is shared among a rig's panoramas and read-only.

    Attributes:
        camera: The panorama's geometry.
        rgb: [H, W, 3] uint8, 0 where not covered.
        range_m: [H, W] float32 distance along the ray from the panorama's centre, 0 = unknown.
        coverage: [H, W] bool.
        non_ambiguous: [H, W] bool; without any depth, equal to coverage.
        valid: [H, W] bool, non_ambiguous and range_m > 0.
        camera_index: [H, W] uint8 index of the camera that gave the colour (most of it, if
            feathered), 255 where not covered.
        moved_share: Share of covered pixels whose colour was taken more than 4 pixels (of the
            panorama) from where the rotation alone would have taken it; 0 for `rotation`.
    """

    camera: Panorama
    rgb: Bytes
    range_m: Floats
    coverage: Bools
    non_ambiguous: Bools
    valid: Bools
    camera_index: Bytes
    moved_share: float
