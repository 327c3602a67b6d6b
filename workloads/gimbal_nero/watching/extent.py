"""How the learnt shape fills the unit sphere: what a scene that was not normalised looks like."""

from __future__ import annotations

import numpy as np
from torch import nn

from gimbal_nero.learning.port import Fields
from gimbal_nero.watching.rendering import distances_at
from gimbal_vision.spheres import fibonacci_sphere

SHELL_RADIUS = 0.97
"""A background fitted within the sphere is painted on its inside: the distance is negative here."""
_SHELL_POINTS, _SIDE = 2048, 40


def extent_numbers(fields: Fields, module: nn.Module, at_once: int) -> dict[str, float]:
    """Return where the shape is.

    Returns:
        `volume_share`: of the sphere's volume; `radius`: of the furthest point of a grid of 40^3
        that is inside the shape, 0 without any; `shell_inside`: share of the directions in which
        the shape reaches radius .97.
    """
    axis = (np.arange(_SIDE) + 0.5) / _SIDE * 2.0 - 1.0
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    radius = np.linalg.norm(grid, axis=-1)
    grid, radius = grid[radius <= 1.0], radius[radius <= 1.0]
    solid = distances_at(fields, module, grid, 16 * at_once) < 0
    shell = SHELL_RADIUS * np.asarray(fibonacci_sphere(_SHELL_POINTS))
    return {
        "volume_share": float(solid.mean()),
        "radius": float(radius[solid].max()) if solid.any() else 0.0,
        "shell_inside": float((distances_at(fields, module, shell, 16 * at_once) < 0).mean()),
    }
