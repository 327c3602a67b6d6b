"""Surfaces made of quadrilaterals of one colour each, in Unreal's axes.

No two quads share a vertex: the renderer mixes vertex colours over a face, so a sharp change of
colour needs vertices of its own. Which side is outside does not matter, as faces are two-sided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Quads:
    """A growing list of quads."""

    def __init__(self) -> None:
        self._corners: list[FloatArray] = []
        self._colours: list[FloatArray] = []
        self._repeats: list[int] = []

    def add(self, corners: ArrayLike, colour: ArrayLike) -> None:
        """Append quads.

        Args:
            corners: [..., 4, 3] in order around each quad.
            colour: [3] for all, or [..., 3], 0 to 255.
        """
        points = np.asarray(corners, np.float64).reshape(-1, 4, 3)
        colours = np.asarray(colour, np.float64).reshape(-1, 3)
        self._corners.append(points)
        self._colours.append(colours)
        each = len(points) if len(colours) == 1 else 1
        self._repeats += [each] * len(colours)

    def box(self, low: ArrayLike, high: ArrayLike, colour: ArrayLike) -> None:
        """Append the six sides of a box along the axes."""
        (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
        base = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        self.prism(base, z0, z1, colour)
        self.add(_flat(base, z0), colour)

    def prism(self, base: ArrayLike, low_m: float, high_m: float, colour: ArrayLike) -> None:
        """Append walls over a polygon, and a roof if it has four corners.

        Args:
            base: [K, 2] corners around.
            low_m: Height of the floor.
            high_m: Height of the roof.
            colour: [3].
        """
        b = np.asarray(base, np.float64)
        self.add(walls(b, low_m, high_m), colour)
        if len(b) == 4:
            self.add(_flat(b, high_m), colour)

    def fan(self, centre: ArrayLike, rim: ArrayLike, colour: ArrayLike) -> None:
        """Append a flat disc.

        Args:
            centre: [3].
            rim: [2 K, 3] around.
            colour: [3].
        """
        r = np.asarray(rim, np.float64)
        first, second, third = r[0::2], r[1::2], np.concatenate([r[2::2], r[:1]])
        hub = np.broadcast_to(np.asarray(centre, np.float64), first.shape)
        self.add(np.stack([hub, first, second, third], axis=1), colour)

    def arrays(self) -> tuple[FloatArray, Bytes]:
        """Return corners [N, 4, 3] float64 and colours [N, 3] uint8."""
        if not self._corners:
            return np.empty((0, 4, 3)), np.empty((0, 3), np.uint8)
        colours = np.clip(np.rint(np.concatenate(self._colours)), 0, 255).astype(np.uint8)
        return np.concatenate(self._corners), np.repeat(colours, self._repeats, axis=0)


def _flat(base: FloatArray, height_m: float) -> FloatArray:
    return np.concatenate([base, np.full((len(base), 1), height_m)], axis=-1)


def walls(base: FloatArray, low_m: float, high_m: float) -> FloatArray:
    """Return the upright quads [K, 4, 3] over the edges of a polygon [K, 2]."""
    low, high = _flat(base, low_m), _flat(base, high_m)
    ends = np.roll(low, -1, axis=0), np.roll(high, -1, axis=0)
    return np.stack([low, ends[0], ends[1], high], axis=1)


def rectangle(xy: ArrayLike, heading_rad: float, length_m: float, width_m: float) -> FloatArray:
    """Return the corners [4, 2] of a rectangle around a point, its length along the heading."""
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    half = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    local = half * (length_m / 2.0, width_m / 2.0)
    corners: FloatArray = local @ np.array([[c, s], [-s, c]]) + np.asarray(xy, np.float64)
    return corners


def triangles(count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return faces [2 N, 3] of N quads whose vertices are listed four by four."""
    first = 4 * np.arange(count, dtype=np.int32)[:, None, None]
    pattern = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return (first + pattern).reshape(-1, 3)
