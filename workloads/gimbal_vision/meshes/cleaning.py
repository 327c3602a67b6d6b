"""Turn the raw triangles of a file into a mesh without surprises.

Exact rules, no tolerance in world units: coordinates that are equal bit by bit are one vertex;
a face without area (relative to its own longest edge) is dropped; of faces over the same three
points the first is kept, whichever way the others face.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.meshes.model import CleaningReport, Mesh
from gimbal_vision.meshes.parts import Indices, Soup

MAX_COORDINATE = 1e15
"""Beyond this a coordinate is damage, not geometry; squares of it still fit float64 easily."""
_MIN_SHAPE = 1e-12
"""Twice the area over the squared longest edge, below which a face is a line or a point."""
_MIXERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def clean(soup: Soup) -> Mesh:
    """Return the mesh of a soup and, in its report, what was dropped; it may have no faces."""
    sound = np.all(np.abs(soup.vertices) <= MAX_COORDINATE, axis=1)  # False for NaN
    keep = np.flatnonzero(np.all(sound[soup.faces], axis=1))
    invalid = soup.invalid_faces + len(soup.faces) - len(keep)

    vertices = soup.vertices[sound] + 0.0  # + 0 turns -0.0 into 0.0
    first, point_of = unique_rows(vertices)
    points = vertices[first]
    corners = point_of[(np.cumsum(sound) - 1)[soup.faces[keep]]]
    solid = ~_degenerate(points, corners)
    keep, corners = keep[solid], corners[solid]
    distinct = np.sort(unique_rows(np.sort(corners, axis=1))[0])

    used, faces, colors = _compact(soup.corner_colors, keep[distinct], corners[distinct])
    return Mesh(
        vertices=points[used],
        faces=faces,
        vertex_colors=colors,
        uv=None if soup.uv is None else np.ascontiguousarray(soup.uv[keep[distinct]], np.float32),
        texture=soup.texture,
        report=CleaningReport(
            nonfinite_vertices=int((~sound).sum()),
            invalid_faces=invalid,
            degenerate_faces=int((~solid).sum()),
            duplicate_faces=len(corners) - len(distinct),
            unreferenced_vertices=len(points) - int(np.count_nonzero(np.bincount(corners.ravel()))),
            merged_vertices=len(vertices) - len(points),
            warnings=tuple(soup.warnings),
        ),
    )


def unique_rows(rows: np.ndarray[Any, Any]) -> tuple[Indices, Indices]:
    """Find equal rows, fast, in the order of their first appearance.

    Args:
        rows: [N, 3] float64 or int64, compared bit by bit.

    Returns:
        The index of the first of each kind [K], and for each row which kind it is [N].
    """
    bits = np.ascontiguousarray(rows).view(np.uint64)
    mixed = bits * _MIXERS
    key = (mixed ^ (mixed >> np.uint64(29))) @ np.roll(_MIXERS, 1)
    _, first, kind = np.unique(key, return_index=True, return_inverse=True)
    if not np.array_equal(bits[first][kind], bits):  # two rows share a hash
        _, first, kind = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[kind.ravel()]


def _degenerate(points: np.ndarray[Any, Any], corners: Indices) -> np.ndarray[Any, Any]:
    a, b, c = (points[corners[:, i]] for i in range(3))
    edges = np.stack([b - a, c - b, a - c])
    longest = (edges * edges).sum(axis=-1).max(axis=0)
    doubled_area = np.linalg.norm(np.cross(edges[0], edges[1]), axis=-1)
    degenerate: np.ndarray[Any, Any] = ~(doubled_area > _MIN_SHAPE * longest)
    return degenerate


def _compact(corner_colors: Any, keep: Indices, corners: Indices) -> tuple[Any, Any, Any]:
    """Number the used points anew; with colours, a vertex is a point of one colour.

    Returns:
        The point of each vertex [V], the faces [F, 3] int32, the colours [V, 3] or None.
    """
    if corner_colors is None:
        counts = np.bincount(corners.ravel())
        return np.flatnonzero(counts), (np.cumsum(counts > 0) - 1)[corners].astype(np.int32), None
    rgb = corner_colors[keep].reshape(-1, 3).astype(np.int64)
    code = corners.ravel() << 24 | rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]
    used, faces = np.unique(code, return_inverse=True)
    shades = np.stack([used >> 16 & 255, used >> 8 & 255, used & 255], axis=-1)
    return used >> 24, faces.reshape(-1, 3).astype(np.int32), shades.astype(np.uint8)
