"""A panorama of a sample, as training would get it, from the images as they are on disk."""

from __future__ import annotations

import numpy as np

from gimbal_multicar.checking.samples import CarSample, Floats
from gimbal_multicar.data_settings import DataSettings
from gimbal_multicar.fusing import fuse_images, steady
from gimbal_multicar.opv2v.own_cloud import cloud_in_car
from gimbal_vision.panoramas.legacy import legacy_crop_depth
from gimbal_vision.panoramas.model import PanoramaImage


def build(sample: CarSample, data: DataSettings) -> PanoramaImage | None:
    """Return the panorama of a sample, None where it has no image.

    Raises:
        CameraError: Images and calibration do not fit at all.
    """
    if not sample.images:
        return None
    rig = steady(sample.rig_on_disk)
    by_lidar = sample.depth_source == "lidar" and sample.points_lidar is not None
    points = cloud_in_car(sample.frame, np.asarray(sample.points_lidar)) if by_lidar else None
    return fuse_images(rig, sample.images, _depths(sample), data, points_car=points).image


def _depths(sample: CarSample) -> dict[str, Floats]:
    """Return depth cropped like the images."""
    found = {}
    for name, image in sample.images.items():
        depth, size = sample.depths.get(name), image.shape[:2]
        if depth is not None:
            cropped = depth if depth.shape == size else legacy_crop_depth(depth, *size)
            found[name] = np.ascontiguousarray(cropped)
    return found
