"""Whether images show anything: a covered lens or a failed render leaves one colour.

Such a file is a whole PNG of the right size, so nothing else would notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.samples import CarSample

NAME = "images show something"
CONSTANT = 0.5
"""Standard deviation, in levels of 8 bits, below which an image is of one colour."""
FAR_BELOW = 0.05
"""Share of the usual standard deviation below which all images of a camera are as good as that; a
single image may well show nothing but a wall."""
MIN_IMAGES = 3
DARK = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """How much one image varies.

    Attributes:
        place: `split/scenario/agent`.
        frame: The moment.
        camera: Its name.
        deviation: Standard deviation of its brightness, in levels of 8 bits.
        mean: Its mean brightness.
    """

    place: str
    frame: str
    camera: str
    deviation: float
    mean: float


def measure_contrast(sample: CarSample) -> tuple[Contrast, ...]:
    """Return how much each image of a car varies."""
    found = []
    for camera, image in sample.images.items():
        mean, deviation = _brightness(image)
        found.append(
            Contrast(
                place=sample.place,
                frame=sample.frame.id.frame,
                camera=camera,
                deviation=deviation,
                mean=mean,
            )
        )
    return tuple(found)


def _brightness(image: np.ndarray[Any, np.dtype[np.uint8]]) -> tuple[float, float]:
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    return float(mean[0, 0]), float(deviation[0, 0])


def judge_contrast(measures: Sequence[Contrast]) -> Finding:
    """Return whether images are of more than one colour; names cameras and cars.

    Args:
        measures: Of all images of all samples.
    """
    if not measures:
        return cannot_tell(NAME, "no sample has an image")
    usual = float(np.median([m.deviation for m in measures]))
    flat = _flat(measures, FAR_BELOW * usual)
    if not flat:
        lowest = min(m.deviation for m in measures)
        return ok(NAME, f"{len(measures)} images, each varies by {lowest:.1f} levels or more")
    cameras = sorted({m.camera for m in flat})
    level = "black" if max(m.mean for m in flat) < DARK else "of one colour"
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{len(flat)} of {len(measures)} images vary by "
        f"{max(m.deviation for m in flat):.1f} of 256 levels or less",
        expected=f"about {usual:.0f} levels, as usual" if usual > CONSTANT else "more",
        cause=f"images of {_listed(cameras, measures)} are {level}",
        hint="render or download these images again",
        where=shortened({f"{m.place} {m.camera}" for m in flat}),
        count=len({(m.place, m.camera) for m in flat}),
    )


def _flat(measures: Sequence[Contrast], least: float) -> list[Contrast]:
    cameras: dict[tuple[str, str], list[Contrast]] = {}
    for m in measures:
        cameras.setdefault((m.place, m.camera), []).append(m)
    flat: list[Contrast] = []
    for own in cameras.values():
        all_flat = len(own) >= MIN_IMAGES and all(m.deviation < least for m in own)
        flat.extend(m for m in own if all_flat or m.deviation < CONSTANT)
    return flat


def _listed(cameras: Sequence[str], measures: Sequence[Contrast]) -> str:
    every = {m.camera for m in measures}
    return "all cameras" if len(every) > 1 and set(cameras) == every else " and ".join(cameras)
