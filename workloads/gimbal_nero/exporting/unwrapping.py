"""Lay a mesh out flat, so that every point of it has a place on a square picture.

xatlas cuts the surface into charts and packs them. A chart's border doubles vertices, so the mesh
that comes back has more of them than the one that went in; their normals are those of the uncut
mesh, since normals of the cut one would show every seam as an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.exporting.errors import ExportError
from gimbal_vision.meshes.measures import face_areas, vertex_normals
from gimbal_vision.meshes.model import Mesh, Vertices

Floats = np.ndarray[Any, np.dtype[np.float32]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

GAP_TEXELS = 8
"""Between charts where the picture is as large as asked: three halvings keep neighbours apart."""

FEWEST_CHARTS = 12
"""A chart is at most so great a part of the surface, about: xatlas takes time that grows with the
square of a chart's faces. 20,000 faces took 6.8 CPU seconds in 37 charts without this, 2.9 with it
in 36, and 1.0 in 100, whose borders would waste small pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unwrapped:
    """A mesh cut along its charts' borders.

    Attributes:
        mesh: The same faces in the same order, with doubled vertices.
        source: [V] index of the vertex of the uncut mesh.
        normals: [V, 3] of length 1, smooth over the cuts.
        uv: [V, 2] in [0, 1], v upwards: (0, 0) is the lower left corner of the picture.
        charts: How many pieces there are.
    """

    mesh: Mesh
    source: Indices
    normals: Vertices
    uv: Floats
    charts: int


def unwrap(mesh: Mesh, side: int) -> Unwrapped:
    """Return a mesh with texture coordinates for square pictures of about `side` texels.

    Args:
        mesh: At least one face; its own texture coordinates are not looked at.
        side: Texels of the picture's side; it decides how much room is left between charts.

    Raises:
        ExportError: There are no faces or some vertex is not finite.
    """
    _check(mesh)
    atlas = _atlas(mesh, side)
    source, faces, uv = atlas.get_mesh(0)
    longer = max(atlas.width, atlas.height)
    scale = np.array([atlas.width, atlas.height], np.float32) / np.float32(longer)
    index = np.asarray(source, np.int64)
    cut = Mesh(mesh.vertices[index], np.asarray(faces, np.int32).reshape(-1, 3))
    return Unwrapped(
        mesh=cut,
        source=index,
        normals=vertex_normals(mesh)[index],
        uv=np.asarray(uv, np.float32) * scale,
        charts=int(atlas.chart_count),
    )


def _atlas(mesh: Mesh, side: int) -> Any:
    """Have xatlas work on the mesh brought to size 1, since it compares lengths with constants."""
    import xatlas

    low, high = mesh.bounds
    size = max(float((high - low).max()), np.finfo(np.float64).tiny)
    atlas = xatlas.Atlas()
    atlas.add_mesh(
        ((mesh.vertices - low) / size).astype(np.float32),
        np.ascontiguousarray(mesh.faces, np.uint32),
    )
    packing = xatlas.PackOptions()
    packing.resolution = side
    packing.padding = min(GAP_TEXELS, max(2, side // 64))
    charts = xatlas.ChartOptions()
    charts.max_chart_area = float(face_areas(mesh).sum()) / size**2 / FEWEST_CHARTS
    atlas.generate(charts, packing)
    return atlas


def _check(mesh: Mesh) -> None:
    if not len(mesh.faces):
        raise ExportError("a mesh without faces cannot be unwrapped", "name a mesh with faces")
    if not np.isfinite(mesh.vertices).all():
        raise ExportError(
            "a mesh with vertices that are not finite cannot be unwrapped",
            "take these vertices out of the mesh",
        )
