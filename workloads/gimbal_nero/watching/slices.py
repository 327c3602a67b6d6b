"""A slice through the distance: where the shape is, and how its distance grows around it."""

from __future__ import annotations

import numpy as np
from torch import nn

from gimbal_nero.capture import Bytes
from gimbal_nero.learning.port import Fields
from gimbal_nero.watching.colours import signed
from gimbal_nero.watching.rendering import Floats, distances_at

_REACH = 1.1
_SHOWN = 0.5
"""Unit lengths at which colours are full."""
_SPHERE = (150, 150, 150)
PLANES = {"x-y at z = 0": (0, 1), "x-z at y = 0": (0, 2)}
"""Axes to the right and up of each slice."""


def slice_picture(fields: Fields, module: nn.Module, plane: str, side: int, at_once: int) -> Bytes:
    """Return [side, side, 3]: orange within, blue outside, black the surface, grey the sphere.

    Args:
        fields: Tells distances.
        module: The networks.
        plane: Of `PLANES`.
        side: Points along a side.
        at_once: Rays of one forward pass.
    """
    axis = np.linspace(-_REACH, _REACH, side)
    right, up = np.meshgrid(axis, axis[::-1])
    points = np.zeros((side * side, 3))
    across, along = PLANES[plane]
    points[:, across], points[:, along] = right.reshape(-1), up.reshape(-1)
    sdf = distances_at(fields, module, points, 16 * at_once).reshape(side, side)
    picture = signed(sdf / _SHOWN)
    picture[_edges(np.hypot(right, up) - 1.0)] = _SPHERE
    picture[_edges(sdf)] = 0
    return picture


def _edges(values: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return where [H, W] changes its sign to the right or below."""
    below = values < 0
    found = np.zeros(values.shape, np.bool_)
    found[:, :-1] |= below[:, 1:] != below[:, :-1]
    found[:-1] |= below[1:] != below[:-1]
    return found
