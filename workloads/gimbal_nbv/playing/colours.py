"""The colours of the pictures, and how a surface is lit in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_vision.rendering.base import Shading

Colour = tuple[int, int, int]

PAPER: Colour = (250, 248, 244)
INK: Colour = (28, 30, 36)
QUIET: Colour = (110, 112, 120)
RULE: Colour = (222, 218, 210)
NEW: Colour = (246, 118, 32)
"""Points that the latest view added."""
GHOST: Colour = (176, 190, 210)
"""Surface nobody has seen yet."""
BARE: Colour = (112, 158, 140)
"""A mesh without colours of its own."""

LINES: dict[str, Colour] = {
    "policy": (207, 69, 32),
    "blind": (180, 112, 143),
    "farthest": (36, 89, 179),
    "oracle": (28, 30, 36),
}
"""Colours of policies, as in the report; any other is drawn in `OTHER`."""
OTHER: Colour = (31, 138, 112)

PHOTO = Shading(mode="headlight", ambient=0.35, surface=BARE, background=PAPER)
ALBEDO = Shading(mode="unlit", surface=BARE, background=PAPER)
FAINT = Shading(mode="headlight", ambient=0.7, surface=GHOST, background=PAPER)

_AMBIENT = 0.55


def line_colour(policy: str) -> Colour:
    """Return the colour of a policy's curve."""
    return LINES.get(policy, OTHER)


def lit(
    albedo: NDArray[np.float32],
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    light: NDArray[np.floating[Any]],
) -> NDArray[np.uint8]:
    """Return colours as a lamp at a place shows them, surfaces two-sided.

    Args:
        albedo: Colours of the surface, 0 to 255 [N,3].
        points: Points of it [N,3].
        normals: Its unit normals there [N,3].
        light: Where the lamp is [3].
    """
    towards = light.astype(np.float32) - points
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    cosine = np.abs(np.einsum("nk,nk->n", towards, normals))
    shade = _AMBIENT + (1 - _AMBIENT) * cosine[:, None]
    return np.asarray(np.clip(albedo * shade, 0, 255), dtype=np.uint8)
