"""Cameras: models of one image (`CameraModel`), and N posed pinholes for renderers.

`dispatch` makes a model from plain numbers, `pointmaps` turns ranges into points, `recovery` finds
the model behind a field of rays.
"""

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.dispatch import (
    CameraKind,
    camera_from,
    describe,
    model_name,
    register_camera,
)
from gimbal_vision.cameras.panoramic import Cylindrical, Equirectangular, Panorama
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.cameras.pointmaps import (
    PointMap,
    point_map,
)
from gimbal_vision.cameras.posed import PinholeCameras, from_integer_centres, to_integer_centres
from gimbal_vision.cameras.recovery import RayFit, fit_panorama, fit_pinhole, recognise
from gimbal_vision.poses import look_at

__all__ = [
    "CameraKind",
    "CameraModel",
    "Cylindrical",
    "Equirectangular",
    "Panorama",
    "Pinhole",
    "PinholeCameras",
    "PointMap",
    "RayFit",
    "camera_from",
    "describe",
    "fit_panorama",
    "fit_pinhole",
    "from_integer_centres",
    "look_at",
    "model_name",
    "point_map",
    "recognise",
    "register_camera",
    "to_integer_centres",
]
