"""Give each camera its own exposure, so that a model learns not to trust the seams.

Real cameras of one car expose for themselves, and colours jump where one image ends. Made images do
not; training on them with jitter is the remedy (the panorama builder itself balances nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_vision.errors import CameraError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def exposure_jitter(
    images: Sequence[Bytes], rng: np.random.Generator, strength: float = 0.2
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
    if not strength >= 0.0:
        raise CameraError(f"an exposure jitter of {strength} is none", "give a strength >= 0")
    levels = np.arange(256, dtype=np.float64)[:, None]
    jittered = []
    for image in images:
        whole, *colours = rng.standard_normal(4)
        gains = np.exp(strength * (whole + 0.25 * np.array(colours)))
        table = np.round(np.minimum(levels * gains, 255.0)).astype(np.uint8)
        jittered.append(np.stack([table[image[..., c], c] for c in range(3)], axis=-1))
    return jittered
