"""Panoramas as their own centre would see them: the warps that use dense depth.

A camera 3 m from the centre sees a car at 10 m 47 columns away from where the centre would. Both
warps first find each pixel's range as seen from the centre: `splat` by throwing every camera pixel
onto the panorama, `fixed_point` by asking, along each ray, at which range a camera measured a
surface just there. Then colours are looked up at the points themselves (`resolving`).

Coverage stays what calibration says. Where the rig looks, but at something else than the centre
would see, because that is hidden from all cameras, a pixel has no range and a guessed colour
(`hiding`). Where depth is missing, it has the colour that the rotation gives it, and no range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.hiding import colour_hidden
from gimbal_vision.panoramas.model import NO_CAMERA, BuildOptions
from gimbal_vision.panoramas.packing import KNOWN, SKY, pack_cameras, pack_scene, pack_settings
from gimbal_vision.panoramas.resolving import colour_points, solve_ranges
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.splatter import Splatter
from gimbal_vision.panoramas.splatting import bridge_gaps

Array = np.ndarray[Any, np.dtype[Any]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

MOVED_PX = 4.0
"""Colours taken farther than this from where the rotation takes them count as moved."""


@dataclass(frozen=True, eq=False)
class Warped:
    """A panorama seen from its centre; arrays as in `PanoramaImage`."""

    rgb: Bytes
    range_m: Floats
    camera_index: Bytes
    sky: Bools
    moved_share: float


@dataclass(frozen=True, eq=False)
class _Found:
    """Flat, [P]: ranges from the centre and guesses (inf: none), and where each came from."""

    ranges: Floats
    guesses: Floats
    pixels: Array
    owners: Bytes


class Warper:
    """Warps one rig's images; safe to share among threads.

    Args:
        rig: In the panorama's frame.
        camera: The panorama.
        options: `warp` is `splat` or `fixed_point`.
    """

    def __init__(self, rig: Rig, camera: Panorama, options: BuildOptions) -> None:
        self._camera, self._options = camera, options
        self._rays = np.ascontiguousarray(camera.rays().reshape(-1, 3), np.float64)
        self._cameras = pack_cameras(rig)
        self._settings = pack_settings(options)
        self._splatter = Splatter(rig, camera, options)

    def warp(self, images: Sequence[Bytes], depths: Sequence[Floats], coverage: Bools) -> Warped:
        """Return the panorama; arguments as for `PanoramaBuilder.build`.

        Args:
            images: Checked and contiguous.
            depths: Likewise.
            coverage: [H, W] pixels to fill.
        """
        shape = coverage.shape
        scene = pack_scene(images, depths)
        state = coverage.reshape(-1).astype(np.uint8)
        splats = self._options.warp == "splat"
        found = self._splatted(depths) if splats else self._solved(scene[0], state)
        rgb = np.zeros((*shape, 3), np.uint8)
        index = np.full(shape, NO_CAMERA, np.uint8)
        turned = np.ones(state.size, np.float32)
        out = (rgb.reshape(-1, 3), index.reshape(-1), state, turned)
        origin = (found.pixels, found.owners)
        points = (found.ranges, found.guesses, self._rays)
        colour_points(points, origin, self._cameras, scene, self._settings, out)
        range_m = np.where(state == KNOWN, found.ranges, np.float32(0)).reshape(shape)
        colour_hidden(rgb, index, state.reshape(shape), range_m)
        moved = turned < np.cos(MOVED_PX / self._camera.fx)
        return Warped(
            rgb=rgb,
            range_m=range_m,
            camera_index=index,
            sky=(state == SKY).reshape(shape),
            moved_share=float(np.count_nonzero(moved)) / max(int(np.count_nonzero(state)), 1),
        )

    def _splatted(self, depths: Sequence[Floats]) -> _Found:
        camera, options = self._camera, self._options
        found = self._splatter.splat(depths)
        shape = (camera.height, camera.width)
        guesses = bridge_gaps(found.ranges, shape, options.max_hole_px, options.depth_consistency)
        return _Found(found.ranges, guesses, found.pixels, found.owners)

    def _solved(self, depths: Floats, covered: Bytes) -> _Found:
        ranges = solve_ranges(self._rays, covered, self._cameras, depths, self._settings)
        no_guesses = np.full(ranges.size, np.inf, np.float32)
        nowhere = np.full(ranges.size, -1, np.int32)
        nobody = np.full(ranges.size, NO_CAMERA, np.uint8)
        return _Found(ranges, no_guesses, nowhere, nobody)
