"""Give each camera its own exposure, so that a model learns not to trust the seams.

Real cameras of one car expose for themselves, and colours jump where one image ends. Made images do
not; training on them with jitter is the remedy (the panorama builder itself balances nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_vision.errors import CameraError
from gimbal_vision.panoramas.model import NO_CAMERA

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

DEFAULT_STRENGTH = 0.2


def exposure_jitter(
    images: Sequence[Bytes], rng: np.random.Generator, strength: float = DEFAULT_STRENGTH
) -> list[Bytes]:
    """Return the images, each with a gain of its own, and a smaller one for each colour.

    Args:
        images: [h, w, 3] uint8, one per camera.
        rng: Equal seeds give equal gains, whatever the images; each camera takes four numbers, in
            order.
        strength: Standard deviation of the log of the gain; each colour's is a quarter of it. 0
            changes nothing.

    Raises:
        CameraError: A negative strength.
    """
    curves = _curves(len(images), rng, strength)
    return [_looked_up(curve, image) for curve, image in zip(curves, images, strict=True)]


def panorama_jitter(
    rgb: Bytes, camera_index: Bytes, rng: np.random.Generator, strength: float = DEFAULT_STRENGTH
) -> Bytes:
    """Return a panorama that was drawn without images as cameras of their own exposure show it.

    Args:
        rgb: [H, W, 3] uint8.
        camera_index: [H, W] uint8; what is no camera's (255) stays as it is. Steps between cameras
            are hard, as nothing is mixed here.
        rng: See `exposure_jitter`, which gives the same cameras the same gains.
        strength: Likewise.

    Raises:
        CameraError: A negative strength.
    """
    jittered = rgb.copy()
    cameras = [int(index) for index in np.unique(camera_index) if index != NO_CAMERA]
    curves = _curves(max(cameras, default=-1) + 1, rng, strength)
    for index in cameras:
        own = camera_index == index
        jittered[own] = _looked_up(curves[index], rgb[own])
    return jittered


def _curves(count: int, rng: np.random.Generator, strength: float) -> list[Bytes]:
    """Return for each camera [256, 3] the new value of each old one, by colour."""
    if not strength >= 0.0:
        raise CameraError(f"an exposure jitter of {strength} is none", "give a strength >= 0")
    levels = np.arange(256, dtype=np.float64)[:, None]
    curves = []
    for _ in range(count):
        whole, *colours = rng.standard_normal(4)
        gains = np.exp(strength * (whole + 0.25 * np.array(colours)))
        curves.append(np.round(np.minimum(levels * gains, 255.0)).astype(np.uint8))
    return curves


def _looked_up(curve: Bytes, rgb: Bytes) -> Bytes:
    return np.stack([curve[rgb[..., c], c] for c in range(3)], axis=-1)
