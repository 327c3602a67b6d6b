"""Areas, normals, volume and closedness of a mesh."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.meshes.cleaning import unique_rows
from gimbal_vision.meshes.model import Mesh, Vertices


def face_normals(mesh: Mesh) -> Vertices:
    """Return [F, 3] unit normals, outwards where corners run counter-clockwise; 0 without area."""
    cross = _edge_products(mesh)
    length = np.linalg.norm(cross, axis=-1, keepdims=True)
    normals: Vertices = cross / np.where(length > 0, length, 1.0)
    return normals


def face_areas(mesh: Mesh) -> Vertices:
    """Return the [F] areas in squared units of the mesh."""
    areas: Vertices = 0.5 * np.linalg.norm(_edge_products(mesh), axis=-1)
    return areas


def vertex_normals(mesh: Mesh) -> Vertices:
    """Return [V, 3] unit normals, the area-weighted mean of the faces around; 0 without faces."""
    cross = _edge_products(mesh)
    count = len(mesh.vertices)
    corners = mesh.faces.ravel()
    sums = np.stack(
        [np.bincount(corners, np.repeat(cross[:, i], 3), minlength=count) for i in range(3)], -1
    )
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    normals: Vertices = sums / np.where(length > 0, length, 1.0)
    return normals


def signed_volume(mesh: Mesh) -> float:
    """Return the enclosed volume, negative when inside out; of meaning for closed meshes only."""
    centred = mesh.vertices - mesh.vertices.mean(axis=0)
    a, b, c = (centred[mesh.faces[:, i]] for i in range(3))
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6.0)


def is_watertight(mesh: Mesh) -> bool:
    """Tell whether each edge belongs to two faces that run along it in opposite directions.

    Points decide, not vertex indices, so seams of colour do not count as holes.
    """
    point = unique_rows(mesh.vertices + 0.0)[1]
    corners = point[mesh.faces]
    forward = _edge_codes(corners, np.roll(corners, -1, axis=1), len(point))
    backward = _edge_codes(np.roll(corners, -1, axis=1), corners, len(point))
    forward.sort()
    backward.sort()
    return bool(np.array_equal(forward, backward) and np.all(np.diff(forward) > 0))


def _edge_products(mesh: Mesh) -> Vertices:
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def _edge_codes(start: Any, end: Any, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    codes: np.ndarray[Any, np.dtype[np.int64]] = (start.astype(np.int64) * count + end).ravel()
    return codes
