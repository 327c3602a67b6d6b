"""The parts a mesh file is made of, before they become one mesh.

A file may hold many surfaces with a material each. Every part carries its colour in one of two
forms only: a texture with coordinates, or a colour at each corner of each face (which vertex, face
and material colours all are).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gimbal_vision.meshes.atlas import Texture, pack
from gimbal_vision.meshes.model import Bytes, Floats, Vertices

Indices = np.ndarray[Any, np.dtype[np.int64]]

NEUTRAL = 200
"""Grey of an uncoloured part of a mesh whose other parts have colours."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One surface in world coordinates; its face indices are all valid.

    Attributes:
        vertices: [V, 3].
        faces: [F, 3].
        corner_colors: [F, 3, 3] uint8 at the corners of each face, or None.
        texture: Image and coordinates of each face's corners, or None.
        invalid_faces: Faces left out because they named vertices that do not exist.
    """

    vertices: Vertices
    faces: Indices
    corner_colors: Bytes | None = None
    texture: Texture | None = None
    invalid_faces: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Soup:
    """All parts in one set of arrays, not cleaned yet.

    Attributes:
        vertices: [V, 3].
        faces: [F, 3], valid indices.
        corner_colors: [F, 3, 3] uint8, or None.
        uv: [F, 3, 2], or None.
        texture: [H, W, 3] uint8, or None.
        invalid_faces: Faces left out so far.
        warnings: Sentences for the user.
    """

    vertices: Vertices
    faces: Indices
    corner_colors: Bytes | None = None
    uv: Floats | None = None
    texture: Bytes | None = None
    invalid_faces: int = 0
    warnings: list[str] = field(default_factory=list)


def join(parts: Sequence[Part]) -> Soup:
    """Put all parts into one set of arrays with one kind of colour.

    No colour anywhere: none. Colours only: kept at the corners. One texture on every part: kept as
    it is. Anything else: the textures are packed into one image in which plain parts get patches of
    their faces' mean colours, so that no texture loses its detail to the mesh's resolution.
    """
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    colors, texture, warnings = _common_colour(parts)
    return Soup(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=False)]),
        corner_colors=colors,
        uv=None if texture is None else texture.uv,
        texture=None if texture is None else texture.image,
        invalid_faces=sum(part.invalid_faces for part in parts),
        warnings=warnings,
    )


def _common_colour(parts: Sequence[Part]) -> tuple[Bytes | None, Texture | None, list[str]]:
    if any(part.texture is not None for part in parts):
        texture, warnings = pack([part.texture or _plain_colors(part) for part in parts])
        return None, texture, warnings
    if any(part.corner_colors is not None for part in parts):
        return np.concatenate([_plain_colors(part) for part in parts]), None, []
    return None, None, []


def _plain_colors(part: Part) -> Bytes:
    if part.corner_colors is not None:
        return part.corner_colors
    return np.full((len(part.faces), 3, 3), NEUTRAL, np.uint8)
