"""How well a car's cameras fit together: differences where they overlap and where they only touch.

The difference in overlaps says nothing of cameras that merely touch, as OPV2V's front and side
cameras do. There the step from the last pixel of one to the first of the other is compared with
steps between neighbours inside either. Two images swapped, or a calibration that is wrong, makes a
step several times as large; parallax of near things makes a moderate one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_vision.panoramas.builder import PanoramaBuilder
from gimbal_vision.panoramas.model import NO_CAMERA, PanoramaImage

Array = np.ndarray[Any, np.dtype[Any]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

LEAST_STEP = 1.0
"""Grey levels: steps inside images below this (a plain wall) are taken for it in ratios."""


@dataclass(frozen=True, kw_only=True)
class Seam:
    """Two cameras side by side; colours in grey levels, 0 to 255, mean of three channels.

    Attributes:
        first: Name of a camera.
        second: Name of another.
        overlap_pixels: Panorama pixels both see.
        overlap_error: Mean |I_first - I_second| there, NaN without any.
        border_pixels: Pairs of neighbouring pixels of which one belongs to each.
        border_step: Mean difference of such pairs, NaN without any.
        inner_step: Mean difference of pairs one pixel further inside, in either camera.
    """

    first: str
    second: str
    overlap_pixels: int
    overlap_error: float
    border_pixels: int
    border_step: float
    inner_step: float

    @property
    def ratio(self) -> float:
        """Step at the border over steps beside it: about 1 where colours run on, NaN if apart."""
        return self.border_step / max(self.inner_step, LEAST_STEP)


class SeamMeter:
    """Measures the seams of one rig; keeps a builder for each of its cameras.

    Args:
        builder: Of the whole rig; its warp is used.
        cache_dir: Where remap tables are kept; see `PanoramaBuilder`.
    """

    def __init__(self, builder: PanoramaBuilder, *, cache_dir: Path | None = None) -> None:
        self._names = builder.rig.names
        self._single = [
            PanoramaBuilder(
                builder.rig.only([name]), builder.camera, builder.options, cache_dir=cache_dir
            )
            for name in self._names
        ]
        self._borders = _borders(builder.table.camera_index)

    def seams(
        self, images: Sequence[Bytes], depths: Sequence[Floats] | None = None
    ) -> tuple[Seam, ...]:
        """Return every pair of cameras that overlap or touch.

        Args:
            images: As for `PanoramaBuilder.build`.
            depths: Likewise; with a warp that uses depth, only pixels where both cameras measured a
                range are compared.
        """
        alone = [
            builder.build([image], None if depths is None else [depths[i]])
            for i, (builder, image) in enumerate(zip(self._single, images, strict=True))
        ]
        pairs = combinations(range(len(alone)), 2)
        seams = [self._seam(a, b, alone) for a, b in pairs]
        return tuple(s for s in seams if s.overlap_pixels or s.border_pixels)

    def _seam(self, a: int, b: int, alone: list[PanoramaImage]) -> Seam:
        both = self._comparable(alone[a], a) & self._comparable(alone[b], b)
        colours = [image.rgb.reshape(-1, 3) for image in alone]
        flat = both.reshape(-1)
        overlap = _difference(colours[a][flat], colours[b][flat])
        steps, inner = _steps(self._borders.get((a, b)), colours[a], colours[b])
        return Seam(
            first=self._names[a],
            second=self._names[b],
            overlap_pixels=int(flat.sum()),
            overlap_error=_mean(overlap),
            border_pixels=steps.size,
            border_step=_mean(steps),
            inner_step=_mean(inner),
        )

    def _comparable(self, image: PanoramaImage, camera: int) -> Array:
        rotates = self._single[camera].options.warp in ("rotation", "ranges")
        return image.coverage if rotates else image.valid


def image_steps(image: PanoramaImage) -> tuple[float, float]:
    """Return mean steps between neighbours of a finished panorama: across borders, and beside them.

    The first shows what seams are left after blending; NaN where one camera sees all.
    """
    colours = image.rgb.reshape(-1, 3)
    both = [_steps(b, colours, colours) for b in _borders(image.camera_index).values()]
    if not both:
        return float("nan"), float("nan")
    return _mean(np.concatenate([s for s, _ in both])), _mean(np.concatenate([i for _, i in both]))


def _borders(index: Bytes) -> dict[tuple[int, int], Array]:
    """Return, by pair of cameras, flat indices [4, M] of pixels in a row across their border.

    The middle two are the neighbours (the first pair's camera is the second of the four), the outer
    ones lie one pixel further inside. Rows of the panorama are closed; columns are not.
    """
    height, width = index.shape
    place = np.arange(height * width).reshape(height, width)
    runs = np.stack([np.roll(place, shift, axis=1).reshape(-1) for shift in (1, 0, -1, -2)])
    down = np.stack([place[i : height - 3 + i].reshape(-1) for i in range(4)])
    runs = np.concatenate([runs, down], axis=1)
    owner = index.reshape(-1)[runs]
    inside = (owner[0] == owner[1]) & (owner[2] == owner[3]) & (owner != NO_CAMERA).all(axis=0)
    crossing = inside & (owner[1] != owner[2])
    runs, owner = runs[:, crossing], owner[:, crossing]
    turned = owner[1] > owner[2]
    runs[:, turned] = runs[::-1, turned]
    pairs = np.sort(owner[1:3], axis=0).astype(int)
    found = {(int(a), int(b)) for a, b in pairs.T}
    return {(a, b): runs[:, (pairs[0] == a) & (pairs[1] == b)] for a, b in sorted(found)}


def _steps(runs: Array | None, first: Bytes, second: Bytes) -> tuple[Array, Array]:
    """Return differences across a border and, for both sides, beside it."""
    if runs is None:
        return np.zeros(0), np.zeros(0)
    a, b, c, d = runs
    inner = np.concatenate([_difference(first[a], first[b]), _difference(second[c], second[d])])
    return _difference(first[b], second[c]), inner


def _difference(a: Bytes, b: Bytes) -> Array:
    result: Array = np.abs(a.astype(np.int16) - b).mean(axis=-1)
    return result


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
