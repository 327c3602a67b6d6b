"""The triangle mesh every part of the workloads shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Vertices = np.ndarray[Any, np.dtype[np.float64]]
Faces = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    """What loading and cleaning changed.

    Attributes:
        nonfinite_vertices: Vertices with NaN, inf or beyond what float32 rendering can hold.
        invalid_faces: Faces that used such vertices or vertices that do not exist.
        degenerate_faces: Faces without area.
        duplicate_faces: Repeats of the same three corners.
        unreferenced_vertices: Vertices no face uses.
        merged_vertices: Copies of one position (UV seams, triangle soup) made one.
        warnings: Sentences for the user, such as a texture that is missing.
    """

    nonfinite_vertices: int = 0
    invalid_faces: int = 0
    degenerate_faces: int = 0
    duplicate_faces: int = 0
    unreferenced_vertices: int = 0
    merged_vertices: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh, optionally with one kind of colour.

    Attributes:
        vertices: [V, 3] float64.
        faces: [F, 3] int32, counter-clockwise seen from outside.
        vertex_colors: [V, 3] uint8 sRGB, or None.
        uv: [F, 3, 2] float32 texture coordinates of each face's corners, v upwards: (0, 0) is the
            lower left corner of the image. None without a texture.
        texture: [H, W, 3] uint8 sRGB, row 0 at the top, or None.
        report: What cleaning did.
    """

    vertices: Vertices
    faces: Faces
    vertex_colors: Bytes | None = None
    uv: Floats | None = None
    texture: Bytes | None = None
    report: CleaningReport = field(default_factory=CleaningReport)

    @property
    def bounds(self) -> Vertices:
        """[2, 3] lower and upper corner of the axis-aligned box."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])
