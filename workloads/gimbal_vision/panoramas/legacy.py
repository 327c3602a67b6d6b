"""The source's crop, kept to reproduce its figures.

There the four images go through crop-and-resize with the *panorama's* size before they are fused:
800 x 600 becomes 1008 x 756 and then its middle 252 rows, so the vertical angle of view falls from
84 to 33 degrees and 61 % of what the cameras saw is thrown away. Coverage .332 instead of .858 is
its signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.rig import Rig, RigCamera

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


def legacy_crop(camera: Pinhole, height: int, width: int) -> Pinhole:
    """Return the model of an image scaled to cover `height` x `width` and cropped to its middle."""
    size = _covering(camera.height, camera.width, height, width)
    return camera.resized(*size).cropped(*_corner(size, height, width), height, width)


def legacy_crop_rig(rig: Rig, height: int, width: int) -> Rig:
    """Return the rig whose images have all been cropped like that."""
    return Rig(
        tuple(
            RigCamera(c.name, legacy_crop(c.camera, height, width), c.car_from_camera)
            for c in rig.cameras
        )
    )


def legacy_crop_image(image: Bytes, height: int, width: int) -> Bytes:
    """Return [height, width, ...] uint8: the image that `legacy_crop` of its camera describes."""
    import cv2

    return np.asarray(_cropped(image, height, width, cv2.INTER_LINEAR), np.uint8)


def legacy_crop_depth(depth: Floats, height: int, width: int) -> Floats:
    """Return [height, width] float32: depth cropped alike, without mixing two surfaces."""
    import cv2

    return np.asarray(_cropped(depth, height, width, cv2.INTER_NEAREST), np.float32)


def _cropped(
    image: np.ndarray[Any, np.dtype[Any]], height: int, width: int, interpolation: int
) -> np.ndarray[Any, np.dtype[Any]]:
    import cv2

    size = _covering(image.shape[0], image.shape[1], height, width)
    top, left = _corner(size, height, width)
    scaled: np.ndarray[Any, np.dtype[Any]] = cv2.resize(
        image, size[::-1], interpolation=interpolation
    )
    return scaled[top : top + height, left : left + width]


def _covering(image_height: int, image_width: int, height: int, width: int) -> tuple[int, int]:
    scale = max(height / image_height, width / image_width)
    return max(height, round(image_height * scale)), max(width, round(image_width * scale))


def _corner(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    return (size[0] - height) // 2, (size[1] - width) // 2
