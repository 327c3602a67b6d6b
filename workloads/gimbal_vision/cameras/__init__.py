"""Cameras: models of one image (`CameraModel`), and N posed pinholes for renderers."""

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.panoramic import Cylindrical, Equirectangular, Panorama
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.cameras.posed import PinholeCameras, from_integer_centres, to_integer_centres
from gimbal_vision.poses import look_at

__all__ = [
    "CameraModel",
    "Cylindrical",
    "Equirectangular",
    "Panorama",
    "Pinhole",
    "PinholeCameras",
    "from_integer_centres",
    "look_at",
    "to_integer_centres",
]
