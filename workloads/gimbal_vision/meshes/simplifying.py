"""Coarse previews of meshes by vertex clustering (Rossignac and Borrel, 1993)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.meshes.model import Faces

Floats = np.ndarray[Any, np.dtype[np.float64]]
_FINEST, _COARSEST = 256, 4


def cluster_vertices(vertices: ArrayLike, faces: ArrayLike, max_faces: int) -> tuple[Floats, Faces]:
    """Merge vertices that share a grid cell until few enough faces are left.

    Good enough to look at, not to measure on: thin parts may close.

    Args:
        vertices: [V, 3].
        faces: [F, 3].
        max_faces: Faces to keep at most; a mesh with fewer is returned as it is.

    Returns:
        Vertices [V', 3] (means of their cells) and faces [F', 3].
    """
    points = np.asarray(vertices, dtype=np.float64)
    triangles = np.asarray(faces, dtype=np.int32)
    cells = _FINEST
    low, size = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), 1e-12)
    result = points, triangles
    while len(result[1]) > max_faces and cells >= _COARSEST:
        keys = np.floor((points - low) / size * (cells - 1e-9)).astype(np.int64)
        result = _merge(points, triangles, keys @ np.array([1, cells + 1, (cells + 1) ** 2]))
        cells = int(cells / 1.3)
    return result


def _merge(
    points: Floats, triangles: Faces, keys: np.ndarray[Any, np.dtype[np.int64]]
) -> tuple[Floats, Faces]:
    _, cluster, count = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.zeros((len(count), 3))
    np.add.at(means, cluster, points)
    merged = cluster[triangles].astype(np.int32)
    a, b, c = merged.T
    merged = merged[(a != b) & (b != c) & (c != a)]
    kept = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)[1]
    return means / count[:, None], merged[np.sort(kept)]
