"""A panorama of a sample, as training would get it, from the images as they are on disk."""

from __future__ import annotations

import numpy as np

from gimbal_multicar.caching import cache_folder
from gimbal_multicar.checking.samples import CarSample, Floats
from gimbal_multicar.config import DataSettings
from gimbal_multicar.fusing import builder_of, chosen_warp, steady
from gimbal_vision.panoramas.legacy import legacy_crop_depth, legacy_crop_image, legacy_crop_rig
from gimbal_vision.panoramas.model import PanoramaImage


def build(sample: CarSample, data: DataSettings) -> PanoramaImage | None:
    """Return the panorama of a sample, None where it has no image.

    Raises:
        CameraError: Images and calibration do not fit at all.
    """
    if not sample.images:
        return None
    rig = steady(sample.rig_on_disk)
    images = [sample.images[name] for name in rig.names]
    depths = _depths(sample)
    if data.legacy_crop:
        size = data.panorama.height, data.panorama.width
        rig = legacy_crop_rig(rig, *size)
        images = [legacy_crop_image(image, *size) for image in images]
        depths = [legacy_crop_depth(depth, *size) for depth in depths] if depths else None
    warp = chosen_warp(data.panorama, depths) if depths else "rotation"
    builder = builder_of(rig, data.panorama, warp, cache_folder(data.cache_dir))
    return builder.build(images, depths)


def _depths(sample: CarSample) -> list[Floats] | None:
    """Return depth cropped like the images; none if any camera lacks it."""
    if not all(name in sample.depths for name in sample.images):
        return None
    found = []
    for name in (n for n in sample.rig.names if n in sample.images):
        depth, size = sample.depths[name], sample.images[name].shape[:2]
        cropped = depth if depth.shape == size else legacy_crop_depth(depth, *size)
        found.append(np.ascontiguousarray(cropped))
    return found
