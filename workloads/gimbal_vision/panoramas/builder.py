"""Images of one car's cameras become one panorama.

`rotation` needs calibration only and takes every range from where it was measured: relative to the
camera, not to the panorama's centre. With a camera 3 m from the centre that is off by up to 3 m.
`ranges` has the same colours, and ranges from the centre where something was measured; `splat` and
`fixed_point` give ranges and colours as the centre would see them, and need dense depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_vision.cameras import Panorama
from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.masks import mask_layers
from gimbal_vision.panoramas.model import BuildOptions, PanoramaImage
from gimbal_vision.panoramas.plan import draw_colour, draw_depth, make_plan
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.splatter import Splatter
from gimbal_vision.panoramas.table import RemapTable
from gimbal_vision.panoramas.table_cache import cached_table
from gimbal_vision.panoramas.warping import Warper

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
_Layers = tuple[Floats, Bools, Bools]
"""Ranges, non_ambiguous and valid, [H, W] each."""

DENSE_SHARE = 0.5
"""From this share of known pixels on, depth is taken to be dense: rendered, not a LiDAR's (2-20 %).
"""


class PanoramaBuilder:
    """Builds panoramas of one rig; safe to share among threads.

    Args:
        rig: Cameras in the car's frame, which is the panorama's: its centre is the origin and its
            middle column looks along z.
        camera: The panorama's geometry.
        options: How images are fused.
        cache_dir: Where remap tables are kept across processes; none: made anew each time.

    Attributes:
        rig: As given.
        camera: As given.
        options: As given.
        table: The remap table.
    """

    def __init__(
        self,
        rig: Rig,
        camera: Panorama,
        options: BuildOptions | None = None,
        *,
        cache_dir: Path | None = None,
    ) -> None:
        self.rig = rig
        self.camera = camera
        self.options = options or BuildOptions()
        self.table: RemapTable = cached_table(rig, camera, self.options, cache_dir)
        self._plan = make_plan(rig, self.table)
        self._new = np.empty if self._plan.coverage.all() else np.zeros
        for static in (self._plan.coverage, self.table.camera_index):
            static.setflags(write=False)
        given = rig, camera, self.options
        warps = self.options.warp in ("splat", "fixed_point")
        self._warper = Warper(*given) if warps else None
        self._splatter = Splatter(*given) if self.options.warp == "ranges" else None

    @property
    def coverage(self) -> Bools:
        """[H, W] bool, read-only: where some camera sees, by calibration alone."""
        return self._plan.coverage

    def build(
        self,
        images: Sequence[Bytes],
        depths: Sequence[Floats] | None = None,
        points: Floats | None = None,
    ) -> PanoramaImage:
        """Return the panorama of one moment.

        Args:
            images: For each camera of the rig, in its order, [h, w, 3] uint8 RGB.
            depths: For each camera [h, w] float32 z-depth in metres; 0 or not finite is unknown;
                a range above `max_range_m` is sky. Sampled at the nearest pixel, never mixed.
            points: For `ranges`: [P, 3] metres in the panorama's frame, such as a LiDAR's. Of these
                and of what the depths measured, the nearest in each pixel counts. Points beyond
                `max_range_m` or not finite are left out.

        Raises:
            CameraError: If the images are not those of the rig's cameras, a warp that needs depth
                got none, or one that has no use for points got some.
        """
        frames = self._checked(images, np.uint8, (3,), "image")
        known = None if depths is None else self._checked(depths, np.float32, (), "depth")
        cloud = None if points is None else self._checked_points(points)
        if self._warper is not None:
            return self._warped(self._warper, frames, known)
        if self._splatter is not None:
            range_m, non_ambiguous, valid = self._centred(self._splatter, known, cloud)
        elif known is None:
            range_m, non_ambiguous, valid = self._unknown()
        else:
            range_m, non_ambiguous, valid = self._turned(known)
        return PanoramaImage(
            camera=self.camera,
            rgb=self._coloured(frames),
            range_m=range_m,
            coverage=self.coverage,
            non_ambiguous=non_ambiguous,
            valid=valid,
            camera_index=self.table.camera_index,
            moved_share=0.0,
        )

    def _unknown(self) -> _Layers:
        shape = self.coverage.shape
        return np.zeros(shape, np.float32), self.coverage.copy(), np.zeros(shape, np.bool_)

    def _turned(self, depths: list[Floats]) -> _Layers:
        """Return the ranges that each pixel's own camera measured, and masks."""
        range_m = self._new(self.coverage.shape, np.float32)
        draw_depth(self._plan, depths, range_m)
        factors, limit = self._plan.range_per_depth, self.options.max_range_m
        return range_m, *mask_layers(range_m, factors, self.coverage, limit)

    def _centred(
        self, splatter: Splatter, depths: list[Floats] | None, points: Floats | None
    ) -> _Layers:
        """Return ranges from the centre, and masks.

        The sky is where a camera measured it, and nothing nearer was: it is infinitely far, so
        every place of the car sees it in the same direction.
        """
        if depths is None and points is None:
            raise _no_depth(self.options)
        coverage = self.coverage
        ranges = splatter.splat(depths or (), points).ranges.reshape(coverage.shape)
        valid = coverage & (ranges < np.inf)
        range_m = np.where(valid, ranges, np.float32(0))
        if depths is None:
            return range_m, coverage.copy(), valid
        _, not_sky, _ = self._turned(depths)
        return range_m, not_sky | valid, valid

    def _coloured(self, images: list[Bytes]) -> Bytes:
        shape = self.camera.height, self.camera.width, 3
        rgb = self._new(shape, np.uint8)
        draw_colour(self._plan, images, rgb)
        return rgb

    def _warped(
        self, warper: Warper, images: list[Bytes], depths: list[Floats] | None
    ) -> PanoramaImage:
        if depths is None:
            raise _no_depth(self.options)
        coverage = self.coverage
        warped = warper.warp(images, depths, coverage)
        return PanoramaImage(
            camera=self.camera,
            rgb=warped.rgb,
            range_m=warped.range_m,
            coverage=coverage,
            non_ambiguous=coverage & ~warped.sky,
            valid=warped.range_m > 0,
            camera_index=warped.camera_index,
            moved_share=warped.moved_share,
        )

    def _checked_points(self, points: Floats) -> Floats:
        if self._splatter is None:
            raise CameraError(
                f"warp={self.options.warp!r} has no use for points",
                "leave them out, or build with warp='ranges'",
            )
        if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind != "f":
            raise CameraError(
                f"points are {points.dtype} {points.shape}", "give [P, 3] metres in the car's frame"
            )
        return np.ascontiguousarray(points, np.float32)

    def _checked(
        self, arrays: Sequence[Any], dtype: Any, channels: tuple[int, ...], kind: str
    ) -> list[Any]:
        """Return contiguous arrays.

        Raises:
            CameraError: Naming the camera whose array does not fit.
        """
        cameras = self.rig.cameras
        if len(arrays) != len(cameras):
            raise CameraError(
                f"{len(arrays)} {kind}s for the {len(cameras)} cameras {', '.join(self.rig.names)}",
                f"give one {kind} per camera; where one is missing, build for rig.only(names)",
            )
        for camera, array in zip(cameras, arrays, strict=True):
            wanted = (camera.camera.height, camera.camera.width, *channels)
            if array.shape != wanted or array.dtype != dtype:
                raise CameraError(
                    f"the {kind} of {camera.name} is {array.dtype} {array.shape}, not "
                    f"{np.dtype(dtype)} {wanted}",
                    "check that image and calibration belong together (a crop, another size?)",
                )
        return [np.ascontiguousarray(a) for a in arrays]


def _no_depth(options: BuildOptions) -> CameraError:
    return CameraError(
        f"warp={options.warp!r} needs depth, and there is none",
        "give depths, or build with warp='rotation'",
    )


def depth_density(depths: Sequence[Floats]) -> float:
    """Return the share of the cameras' pixels whose depth is known (positive and finite)."""
    total = sum(d.size for d in depths)
    known = sum(int(np.count_nonzero((d > 0) & (d < np.inf))) for d in depths)
    return known / total if total else 0.0


def depth_is_dense(depths: Sequence[Floats] | None) -> bool:
    """Return whether depth suffices for a warp that uses it: half of all pixels or more."""
    return depths is not None and depth_density(depths) >= DENSE_SHARE
