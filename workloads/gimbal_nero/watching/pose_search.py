"""Which views would be explained better from elsewhere: their poses are wrong (R032).

How well a view is explained says little about its pose, since a highlight in one picture costs more
than a pose that is some degrees off. So each doubtful view is asked from turned poses: where one
explains the photograph much better than the told pose does, the told pose is wrong, also when the
shape learnt from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.learning.quality import psnr_db
from gimbal_nero.watching.choosing import SourceOf, pixels_in_sphere
from gimbal_nero.watching.rendering import Seen
from gimbal_vision.lie import so3_exp

Array = np.ndarray[Any, np.dtype[Any]]
See = Callable[[dict[str, Array]], Seen]

TURNS_DEG = (4.0, 2.0, 1.0)
"""Turns about the unit frame's origin that are tried, each at most twice."""
_LEAST_GAIN_DB = 0.05
_JUDGED = 4
"""Pixels that a pose is judged on, for each that it is found on."""


def pose_doubt(
    view: View, count: int, seed: int, source_of: SourceOf, see: See
) -> dict[str, float]:
    """Return how much better a view is explained from turned poses.

    A pose is found on some pixels and judged on others, four times as many: a highlight or two on
    the pixels that it was chosen by would speak for it whatever the truth.

    Args:
        view: With the pose that was told.
        count: Pixels that a pose is found on.
        seed: Chooses them.
        source_of: Makes rays.
        see: Renders them.

    Returns:
        `pose_gain_db`: of the best pose found, at least 0; `pose_turn_deg`: how far it is turned.
    """
    pixels = pixels_in_sphere(view)
    pixels = np.random.default_rng(seed).permutation(pixels)
    count = min(count, len(pixels) // 2)
    chosen, others = pixels[:count], pixels[count : count * (1 + _JUDGED)]

    def explained_db(pose: Array, on: Array = chosen) -> float:
        rays = source_of([replace(view, cam2world=pose)]).fetch(on)
        said = np.rint(np.clip(see(rays).colour, 0, 1) * 255).astype(np.uint8)
        return psnr_db(said, np.rint(rays["rgb"] * 255).astype(np.uint8))

    told = view.cam2world
    best = explained_db(told)
    pose = told
    for turn_deg in TURNS_DEG:
        for _ in range(2):
            found = [(explained_db(turned), turned) for turned in _turned(pose, turn_deg)]
            better, candidate = max(found, key=lambda pair: pair[0])
            if better < best + _LEAST_GAIN_DB:
                break
            best, pose = better, candidate
    between = np.clip((np.trace(pose[:3, :3] @ told[:3, :3].T) - 1.0) / 2.0, -1.0, 1.0)
    gain = explained_db(pose, others) - explained_db(told, others) if pose is not told else 0.0
    return {
        "pose_gain_db": max(0.0, gain),
        "pose_turn_deg": float(np.degrees(np.arccos(between))),
    }


def doubtful(views: Sequence[dict[str, Any]], count: int) -> list[int]:
    """Return the positions of the views that are explained worst, at most `count`."""
    order = np.argsort([-view["gap_db"] for view in views], kind="stable")
    return [int(position) for position in order[:count]]


def _turned(pose: Array, turn_deg: float) -> list[Array]:
    """Return poses turned about the origin's axes, either way."""
    turned = []
    for axis, sign in itertools.product(range(3), (1.0, -1.0)):
        vector = np.zeros(3)
        vector[axis] = sign * np.radians(turn_deg)
        turn = np.eye(4)
        turn[:3, :3] = so3_exp(vector)
        turned.append(turn @ pose)
    return turned
