"""The ground of a made street: hills and roads, in Unreal's axes (x forward, y right, z up).

A road is a centre line on the plane, laid over the hills. Its heading swings like a sine around
one direction, so it never meets itself however long it is, and a straight road is one without
swing. Traffic keeps to the right.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_multicar.opv2v.axes import world_to_x

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

LANE_M = 3.5
PARKING_M = 2.4
PAVEMENT_M = 3.0
STEP_M = 0.5
"""Spacing of the table of a centre line."""


@dataclass(frozen=True, kw_only=True)
class Hills:
    """A smooth ground.

    Attributes:
        waves: Of each wave: amplitude in metres, wave vector along x and y in rad/m, phase.
    """

    waves: tuple[tuple[float, float, float, float], ...] = ()

    def height(self, xy: ArrayLike) -> FloatArray:
        """Return [...] metres at points [..., 2]."""
        p = np.asarray(xy, np.float64)
        total = np.zeros(p.shape[:-1])
        for amplitude, kx, ky, phase in self.waves:
            total += amplitude * np.sin(kx * p[..., 0] + ky * p[..., 1] + phase)
        return total

    def slope(self, xy: ArrayLike) -> FloatArray:
        """Return the gradient [..., 2] of the height at points [..., 2]."""
        p = np.asarray(xy, np.float64)
        total = np.zeros(p.shape)
        for amplitude, kx, ky, phase in self.waves:
            rise = amplitude * np.cos(kx * p[..., 0] + ky * p[..., 1] + phase)
            total += rise[..., None] * np.array([kx, ky])
        return total

    def on(self, xy: ArrayLike, lift_m: ArrayLike = 0.0) -> FloatArray:
        """Return points [..., 3] that lie `lift_m` above the ground at [..., 2]."""
        p = np.asarray(xy, np.float64)
        return np.concatenate(
            [p, (self.height(p) + np.asarray(lift_m, np.float64))[..., None]], axis=-1
        )


@dataclass(frozen=True, kw_only=True)
class Road:
    """A road with lanes both ways.

    Attributes:
        origin_m: Where the length s is 0.
        heading_rad: Direction there before the swing, from x towards y.
        half_length_m: s runs from minus this to this.
        swing_rad: Amplitude of the heading's swing.
        wave_m: Length of a swing.
        lanes: Each way.
        parking: Whether a parking lane lies at both sides.
    """

    origin_m: tuple[float, float]
    heading_rad: float
    half_length_m: float
    swing_rad: float = 0.0
    wave_m: float = 200.0
    lanes: int = 1
    parking: bool = False

    @property
    def half_width_m(self) -> float:
        """From the centre line to the kerb."""
        return self.lanes * LANE_M + (PARKING_M if self.parking else 0.0)

    def heading(self, s: ArrayLike) -> FloatArray:
        """Return the direction in radians at lengths s."""
        turn = 2.0 * np.pi * np.asarray(s, np.float64) / self.wave_m
        swung: FloatArray = self.heading_rad + self.swing_rad * np.sin(turn)
        return swung

    def at(self, s: ArrayLike, right_m: ArrayLike = 0.0) -> FloatArray:
        """Return points [..., 2] at length s, `right_m` to the right of the centre line."""
        lengths, line = _centre_line(self)
        s = np.asarray(s, np.float64)
        centre = np.stack([np.interp(s, lengths, line[:, k]) for k in (0, 1)], axis=-1)
        heading = self.heading(s)
        right = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        moved: FloatArray = centre + np.asarray(right_m, np.float64)[..., None] * right
        return moved

    def distance(self, xy: ArrayLike) -> FloatArray:
        """Return [...] metres from points [..., 2] to the centre line, good to some centimetres."""
        tree = _tree(self)
        distances: FloatArray = tree.query(np.asarray(xy, np.float64))[0]
        return distances


@functools.lru_cache(maxsize=16)
def _centre_line(road: Road) -> tuple[FloatArray, FloatArray]:
    count = int(np.ceil(road.half_length_m / STEP_M))
    s = np.arange(-count, count + 1) * STEP_M
    middle = road.heading(0.5 * (s[1:] + s[:-1]))
    steps = STEP_M * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    line = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return s, line - line[count] + np.asarray(road.origin_m)


@functools.lru_cache(maxsize=16)
def _tree(road: Road) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(_centre_line(road)[1])


def standing(hills: Hills, xy: ArrayLike, heading_rad: ArrayLike) -> FloatArray:
    """Return the poses [..., 6] of cars that stand on the ground.

    The car's x axis follows the slope along its heading (pitch), its y axis the slope across
    (roll): all three axes are found as vectors and read back as CARLA's angles.

    Args:
        hills: The ground.
        xy: [..., 2] metres.
        heading_rad: [...] from x towards y.

    Returns:
        x, y, z in metres and roll, yaw, pitch in degrees.
    """
    p, heading = np.asarray(xy, np.float64), np.asarray(heading_rad, np.float64)
    slope = hills.slope(p)
    normal = np.concatenate([-slope, np.ones((*slope.shape[:-1], 1))], axis=-1)
    ahead = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    climb = np.einsum("...i,...i->...", slope, ahead)
    forward = np.concatenate([ahead, climb[..., None]], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    matrix = np.zeros((*p.shape[:-1], 4, 4))
    matrix[..., :3, 0], matrix[..., :3, 2] = forward, normal
    matrix[..., :3, 1] = np.cross(normal, forward)
    matrix[..., :3, 3], matrix[..., 3, 3] = hills.on(p), 1.0
    return world_to_x(matrix)
