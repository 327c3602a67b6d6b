"""Meshes, cameras and a slow renderer that the rendering tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import Rendering
from gimbal_vision.spheres import fibonacci_sphere, sphere_cameras

SHARED_MESHES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "meshes"
FORWARD = np.eye(4)


def mesh_of(shape: trimesh.Trimesh, **colours: np.ndarray) -> Mesh:
    return Mesh(
        vertices=np.array(shape.vertices, np.float64),
        faces=np.array(shape.faces, np.int32),
        **colours,
    )


def icosphere(subdivisions: int, radius: float = 0.5) -> Mesh:
    return mesh_of(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius))


def bumpy_sphere(subdivisions: int) -> Mesh:
    mesh = icosphere(subdivisions)
    n = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    radius = 0.35 + 0.08 * np.sin(9 * n[:, 0]) * np.sin(7 * n[:, 1]) * np.sin(11 * n[:, 2])
    colours = np.uint8(np.round(127 + 120 * n))
    return Mesh(vertices=n * radius[:, None], faces=mesh.faces, vertex_colors=colours)


def torus() -> Mesh:
    return mesh_of(trimesh.creation.torus(0.3, 0.12, major_sections=64, minor_sections=32))


def soup(count: int, seed: int, size: float = 0.3) -> Mesh:
    """Return triangles that cross one another in a unit box."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.4, 0.4, (count, 1, 3)) + rng.normal(0, size, (count, 3, 3))
    return Mesh(
        vertices=corners.reshape(-1, 3), faces=np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    )


def quad(corners: list[tuple[float, float, float]], **colours: np.ndarray) -> Mesh:
    return Mesh(
        vertices=np.array(corners, np.float64),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        **colours,
    )


def sphere_views(count: int, height: int, width: int, distance: float = 1.5) -> PinholeCameras:
    return sphere_cameras(fibonacci_sphere(count), distance, 42.0, height, width)


def odd_camera(height: int = 47, width: int = 63) -> PinholeCameras:
    """Return one camera with fx != fy and the principal point off the centre."""
    K = np.array([[71.3, 0, 25.2], [0, 58.9, 27.7], [0, 0, 1.0]])
    return PinholeCameras(K, FORWARD, height, width)


def disagreement(a: Rendering, b: Rendering) -> tuple[float, float]:
    """Return (mask IoU, median depth difference where both hit)."""
    both = a.mask & b.mask
    union = (a.mask | b.mask).sum()
    difference = np.abs(a.depth[both] - b.depth[both])
    return both.sum() / max(union, 1), float(np.median(difference)) if both.any() else 0.0


def brute_force(mesh: Mesh, cameras: PinholeCameras) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect every ray with every face in float64 (Moller and Trumbore, 1997).

    Returns:
        z-depth [N, H, W] (inf for a miss), face id, and whether the pixel is too close to an edge
        or another face to tell which one it sees.
    """
    origins, rays = cameras.rays(np.float64)
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    e1, e2 = b - a, c - a
    shape = rays.shape[:-1]
    d = rays.reshape(-1, 1, 3)
    offset = np.repeat(origins, shape[1] * shape[2], axis=0)[:, None] - a
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.cross(d, e2)
        inverse = 1.0 / (e1 * p).sum(-1)
        u = (offset * p).sum(-1) * inverse
        q = np.cross(offset, e1)
        v = (d * q).sum(-1) * inverse
        t = (e2 * q).sum(-1) * inverse
        inner = np.minimum(np.minimum(u, v), 1 - u - v)
    hit = (inner >= 0) & (t > 0)
    z = np.where(hit, t, np.inf)
    near = z.min(axis=1)
    close = (np.abs(inner) < 1e-7) & (t > 0) & (t < near[:, None] * 1.000001)
    rivals = (z < near[:, None] * 1.000001).sum(axis=1) > 1
    unsure = close.any(axis=1) | (rivals & np.isfinite(near))
    face = np.where(np.isfinite(near), z.argmin(axis=1), -1)
    return near.reshape(shape), face.reshape(shape), unsure.reshape(shape)
