"""The connected pieces of a mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.meshes import Mesh, face_areas


def piece_of_faces(mesh: Mesh) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number [F] of each face's piece, from 0; faces that share a vertex join."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    size = len(mesh.vertices)
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (size, size))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(np.unique(labels[mesh.faces[:, 0]], return_inverse=True)[1], np.int64)


def largest_piece(mesh: Mesh) -> Mesh:
    """Return the piece of the largest area."""
    pieces = piece_of_faces(mesh)
    kept = mesh.faces[pieces == np.bincount(pieces, weights=face_areas(mesh)).argmax()]
    used, faces = np.unique(kept, return_inverse=True)
    return Mesh(vertices=mesh.vertices[used], faces=faces.reshape(-1, 3).astype(np.int32))
