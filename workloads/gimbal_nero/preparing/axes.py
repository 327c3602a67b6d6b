"""Which way is up, and the similarity into the unit frame.

Where nobody says, up is the direction that the cameras' horizons are level about: people turn and
tilt a camera, but hardly roll it. The mean of the images' own up directions decides the sign, and
everything where the horizons leave it open.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_nero.errors import CaptureError
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.preparing.bounding import Ball
from gimbal_nero.preparing.settings import Vector

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_CLEAR = 4.0
"""How much more the horizons spread about the next axis than about up."""


def up_direction(asked: str | Vector, known: Doubles | None, poses: Doubles) -> Doubles:
    """Return the unit up direction in the source frame.

    Args:
        asked: `auto`, an axis such as `-y`, or three numbers.
        known: What the source says, or none.
        poses: [N, 4, 4] camera to source.

    Raises:
        CaptureError: It has no length.
    """
    if not isinstance(asked, str):
        return _unit(np.asarray(asked, np.float64), "up")
    if asked != "auto":
        sign = -1.0 if asked.startswith("-") else 1.0
        return np.asarray(sign * np.eye(3)["xyz".index(asked[-1])], np.float64)
    return up_from_cameras(poses) if known is None else _unit(known, "up")


def up_from_cameras(poses: Doubles) -> Doubles:
    """Return the unit direction about which the cameras' x axes are level; see the module.

    Args:
        poses: [N, 4, 4] camera to source, OpenCV axes.
    """
    right, upwards = poses[:, :3, 0], -poses[:, :3, 1].mean(axis=0)
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    level = vectors[:, 0]
    if values[1] < _CLEAR * max(values[0], 1e-6) or abs(level @ upwards) < 1e-3:
        return _unit(upwards, "the cameras' mean up")
    return np.asarray(level * np.sign(level @ upwards), np.float64)


def normalisation_to(
    ball: Ball, radius: float, up: Doubles, forward: Doubles | None
) -> Normalisation:
    """Return the similarity that makes the ball the sphere of `radius` with z up.

    Args:
        ball: In the source frame.
        radius: In the unit frame.
        up: [3] unit, becomes z.
        forward: [3], its level part becomes x; none: the source axis that is most level.
    """
    scale = radius / ball.radius
    return Normalisation(
        rotation=_upright(up, forward), centre_source=ball.centre, scale=float(scale)
    )


def _upright(up: Doubles, forward: Doubles | None) -> Doubles:
    ahead = np.eye(3)[np.abs(up).argmin()] if forward is None else _unit(forward, "forward")
    y = np.cross(up, ahead)
    if np.linalg.norm(y) < 1e-6:
        raise CaptureError("up and forward are the same direction", "give two that differ")
    y = _unit(y, "y")
    rows = np.stack([np.cross(y, up), y, up])
    return np.asarray(rows, np.float64)


def _unit(vector: Doubles, what: str) -> Doubles:
    length = np.linalg.norm(vector)
    if not (np.isfinite(length) and length > 0):
        raise CaptureError(f"{what} has no direction: {vector.tolist()}", "give up: x, y or z")
    return np.asarray(vector / length, np.float64)
