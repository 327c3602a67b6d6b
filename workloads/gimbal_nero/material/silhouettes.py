"""Which pixels show one place of a surface and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

_STEEPER = 4.0
"""Times as far as the flatter of two pixels' tangent planes leads us to expect: then torn."""
_BUMP = 2.0
"""Widths of a pixel that depths of neighbours may always differ by."""


def torn_pixels(hit: Bools, distances: Doubles, cosines: Doubles, pixel_angle: float) -> Bools:
    """Return which pixels lie beside a gap in depth: one part of the object in front of another.

    Between neighbours on one smooth surface the distance changes by about the width of a pixel
    there, times the tangent of the angle between normal and view.

    Args:
        hit: [H, W] pixels that meet the surface.
        distances: [H, W] along the rays; of meaning where `hit`.
        cosines: [H, W] between normal and view, likewise.
        pixel_angle: Width of a pixel at distance 1.
    """
    torn = np.zeros_like(hit)
    for axis in (0, 1):
        first, second = _neighbours(hit.ndim, axis)
        near = np.minimum(distances[first], distances[second])
        flatter = np.maximum(cosines[first], cosines[second]).clip(1e-3, 1.0)
        steep = np.sqrt(1.0 - flatter**2) / flatter
        expected = pixel_angle * near * (_STEEPER * steep + _BUMP)
        gap = np.abs(distances[first] - distances[second]) > expected
        gap &= hit[first] & hit[second]
        torn[first] |= gap
        torn[second] |= gap
    return torn


def eroded(hit: Bools, torn: Bools, pixels: int) -> Bools:
    """Return the pixels of `hit` at least so many pixels from what is outside and from gaps.

    The border of a photograph is no outline: the object goes on behind it.

    Args:
        hit: [H, W]
        torn: [H, W] pixels beside a gap: the first of those that are left out there.
        pixels: How many are left out along an outline; 0: none.
    """
    if pixels == 0:
        return hit
    kept = ~_grown(~hit, pixels) & ~(_grown(torn, pixels - 1))
    return np.asarray(kept, np.bool_)


def _grown(region: Bools, pixels: int) -> Bools:
    """Return the pixels within so many rows and columns of a region."""
    import cv2

    side = 2 * pixels + 1
    grown = cv2.dilate(region.astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(grown > 0, np.bool_)


def _neighbours(dimensions: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    whole = [slice(None)] * dimensions
    first, second = list(whole), list(whole)
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    return tuple(first), tuple(second)
