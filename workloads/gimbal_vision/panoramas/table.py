"""The remap table: for every pixel of a panorama, which camera to ask where.

It depends on calibration, panorama and options alone, never on images, so one is made per rig and
kept (`table_cache`). It assumes that all light comes from infinitely far (`rotation`); only the
warps that use depth look elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras import Panorama
from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.blending import blend_weights, primary_camera
from gimbal_vision.panoramas.model import NO_CAMERA, BuildOptions
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.panoramas.sighting import Sighting, all_directions

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Ids = np.ndarray[Any, np.dtype[np.int32]]
FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

VERSION = 2
"""Part of every key; raise it when equal calibration would give another table."""


@dataclass(frozen=True, eq=False)
class RemapTable:
    """Where a panorama's colours and depths lie in its cameras' images.

    Coordinates are cv2's, with pixel centres at integers, and held inside the image: on a border,
    the border pixel is repeated outwards.

    Attributes:
        camera_index: [H, W] uint8 camera that gives depth and most of the colour, `NO_CAMERA` where
            none.
        x: [H, W] float32 column in that camera's image; 0 where none sees.
        y: [H, W] float32 row.
        weight: [H, W] float32 share of that camera's colour, 0 where none sees.
        seen_by: [H, W] uint8 number of cameras that see the pixel.
        extra_pixel: [M] int32 flat indices of pixels that also take colour from another camera.
        extra_camera: [M] uint8.
        extra_x: [M] float32.
        extra_y: [M] float32.
        extra_weight: [M] float32; with `weight` it sums to 1 for each pixel.
    """

    camera_index: Bytes
    x: Floats
    y: Floats
    weight: Floats
    seen_by: Bytes
    extra_pixel: Ids
    extra_camera: Bytes
    extra_x: Floats
    extra_y: Floats
    extra_weight: Floats


def table_key(rig: Rig, camera: Panorama, options: BuildOptions) -> str:
    """Return 20 hex digits of all a table depends on; equal calibrations share them."""
    feather = options.feather_px if options.blend == "feather" else None
    parts = (
        VERSION,
        rig.digest,
        (camera.camera_model, *astuple(camera)),
        (options.blend, feather, options.min_cos_view_angle),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def make_table(rig: Rig, camera: Panorama, options: BuildOptions) -> RemapTable:
    """Return the table of a rig whose car frame is the panorama's.

    Raises:
        CameraError: More cameras than an index of 8 bits can name.
    """
    if len(rig.cameras) >= NO_CAMERA:
        raise CameraError(
            f"a rig of {len(rig.cameras)} cameras is too many for one panorama",
            f"give fewer than {NO_CAMERA}, with rig.only(names)",
        )
    sighting = all_directions(rig, camera.rays(), options.min_cos_view_angle)
    weights = blend_weights(rig, sighting, options)
    index = primary_camera(sighting, weights)
    covered = index != NO_CAMERA
    chosen = np.where(covered, index, 0)[None]

    def of_chosen(values: FloatArray) -> Floats:
        taken = np.take_along_axis(values, chosen, axis=0)[0]
        return np.where(covered, taken, 0.0).astype(np.float32)

    x, y = _image_coordinates(rig, sighting)
    others = weights.copy()
    np.put_along_axis(others, chosen, 0.0, axis=0)
    number, row, column = np.nonzero(others > 0)
    return RemapTable(
        camera_index=index,
        x=of_chosen(x),
        y=of_chosen(y),
        weight=of_chosen(weights),
        seen_by=sighting.seen.sum(axis=0).astype(np.uint8),
        extra_pixel=(row * camera.width + column).astype(np.int32),
        extra_camera=number.astype(np.uint8),
        extra_x=x[number, row, column].astype(np.float32),
        extra_y=y[number, row, column].astype(np.float32),
        extra_weight=others[number, row, column].astype(np.float32),
    )


def _image_coordinates(rig: Rig, sighting: Sighting) -> tuple[FloatArray, FloatArray]:
    """Return [N, H, W] cv2 coordinates held inside each image; NaN behind a camera."""
    models = [c.camera for c in rig.cameras]
    x = np.stack(
        [np.clip(u - 0.5, 0, m.width - 1) for u, m in zip(sighting.u, models, strict=True)]
    )
    y = np.stack(
        [np.clip(v - 0.5, 0, m.height - 1) for v, m in zip(sighting.v, models, strict=True)]
    )
    return x, y
