"""Held-out photographs beside what a shape renders there, at full size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gimbal_nero.capture import Bytes, Capture, View
from gimbal_nero.learning.loading import LoadedShape
from gimbal_nero.learning.quality import psnr_db, ssim
from gimbal_nero.learning.rays import ViewSource
from gimbal_nero.learning.validating import picture
from gimbal_nero.volume.model import Moment


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """One view.

    Attributes:
        view: The photograph.
        said: [H, W, 3] sRGB as rendered.
        psnr: Decibels.
        ssim: At most 1.
    """

    view: View
    said: Bytes
    psnr: float
    ssim: float


def held_out(capture: Capture) -> tuple[View, ...]:
    """Return the views of the test, or of validation where there is no test."""
    return capture.of("test") or capture.of("validate")


def compare_views(
    shape: LoadedShape,
    views: Sequence[View],
    rays_at_once: int,
    progress: Callable[[int, int, str], None],
) -> list[Compared]:
    """Render views and compare them with their photographs."""
    import torch

    source = ViewSource(views, 1.0, photographer=shape.photographer)
    found = []
    for index, view in enumerate(views):
        progress(index, len(views), f"view {view.name}")
        with torch.no_grad():
            batch = source.fetch(np.array([index]))
            said, _ = picture(shape.fields, shape.module, batch, rays_at_once, Moment())
        found.append(
            Compared(
                view=view, said=said, psnr=psnr_db(said, view.image), ssim=ssim(said, view.image)
            )
        )
    return found
