"""The objects that are photographed: closed meshes about the origin, their outside known.

The world of the pictures is y-up, as Glossy-Synthetic's is: a torus lies flat in the plane y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.errors import SynthesisError
from gimbal_nero.synthesis.settings import SyntheticSettings
from gimbal_vision.errors import MeshError
from gimbal_vision.meshes.measures import signed_volume
from gimbal_vision.meshes.model import Mesh

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_RING, _TUBE = 1.0, 0.42
"""Radii of the torus before it is scaled."""
_BUMPS = 9
_SUBDIVISIONS = 5
"""Of a sphere made of an icosahedron: 20480 faces, edges of .035 radii."""
_CREASE_DEG = 35.0
"""Faces that meet at a sharper angle keep an edge in reflections."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadedMesh:
    """A mesh with a normal at each corner; corners on creases are there twice.

    Attributes:
        vertices: [V, 3]
        normals: [V, 3] of length 1, outwards.
        faces: [F, 3]
    """

    vertices: Doubles
    normals: Doubles
    faces: np.ndarray[Any, np.dtype[np.int32]]


def make_object(settings: SyntheticSettings, seed: int) -> Mesh:
    """Return the object: centred, its furthest point at `settings.extent` from the origin.

    Args:
        settings: Which object.
        seed: Of the blob's bumps.

    Raises:
        SynthesisError: A mesh file cannot be read, or has no extent.
    """
    if settings.mesh is not None:
        mesh = _from_file(settings)
    elif settings.shape == "torus":
        mesh = torus(_RING, _TUBE)
    elif settings.shape == "blob":
        mesh = _blob(seed)
    elif settings.shape == "spheres":
        mesh = _joined(_sphere(0.55, (-0.45, 0.0, 0.0)), _sphere(0.38, (0.55, 0.1, 0.15)))
    else:
        mesh = _sphere(1.0, (0.0, 0.0, 0.0))
    return _fitted(mesh, settings.extent)


def torus(ring: float, tube: float, around: int = 160, across: int = 80) -> Mesh:
    """Return a torus about the y axis.

    Args:
        ring: Radius of the tube's centre line.
        tube: Radius of the tube.
        around: Vertices along the centre line.
        across: Vertices around the tube.
    """
    u, v = np.meshgrid(
        2 * np.pi * np.arange(around) / around,
        2 * np.pi * np.arange(across) / across,
        indexing="ij",
    )
    radius = ring + tube * np.cos(v)
    vertices = np.stack([radius * np.sin(u), tube * np.sin(v), radius * np.cos(u)], axis=-1)
    index = np.arange(around * across).reshape(around, across)
    right, up = np.roll(index, -1, 0), np.roll(index, -1, 1)
    diagonal = np.roll(right, -1, 1)
    faces = np.concatenate(
        [np.stack([index, right, diagonal], -1), np.stack([index, diagonal, up], -1)]
    )
    return Mesh(vertices.reshape(-1, 3), faces.reshape(-1, 3).astype(np.int32))


def shaded(mesh: Mesh) -> ShadedMesh:
    """Return the mesh with smooth normals that break where faces meet at a sharp angle."""
    import trimesh

    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    smooth: Any = trimesh.graph.smooth_shade(plain, angle=np.radians(_CREASE_DEG))
    normals = np.asarray(smooth.vertex_normals, np.float64)
    return ShadedMesh(
        vertices=np.asarray(smooth.vertices, np.float64),
        normals=normals,
        faces=np.asarray(smooth.faces, np.int32),
    )


def mesh_bytes(mesh: Mesh) -> bytes:
    """Return a mesh as a binary PLY file."""
    import trimesh

    plain: Any = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    written: bytes = plain.export(file_type="ply")
    return written


def _from_file(settings: SyntheticSettings) -> Mesh:
    from gimbal_vision.meshes.loading import load_mesh

    try:
        mesh = load_mesh(str(settings.mesh))
    except MeshError as error:
        raise SynthesisError(error.message, error.remedy) from error
    faces = mesh.faces if signed_volume(mesh) >= 0 else mesh.faces[:, ::-1]
    return Mesh(mesh.vertices, np.ascontiguousarray(faces))


def _sphere(radius: float, centre: tuple[float, float, float]) -> Mesh:
    import trimesh

    made = trimesh.creation.icosphere(subdivisions=_SUBDIVISIONS, radius=radius)
    return Mesh(np.asarray(made.vertices) + np.array(centre), np.asarray(made.faces, np.int32))


def _blob(seed: int) -> Mesh:
    """Return a sphere with smooth bumps and dents: star-shaped, so it never meets itself."""
    rng = np.random.default_rng([seed, 0xB10B])
    sphere = _sphere(1.0, (0.0, 0.0, 0.0))
    centres = rng.normal(size=(_BUMPS, 3))
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    heights = rng.uniform(0.12, 0.3, _BUMPS) * np.where(np.arange(_BUMPS) % 3 == 2, -1.0, 1.0)
    sharpness = rng.uniform(5.0, 12.0, _BUMPS)
    bumps = heights * np.exp(sharpness * (sphere.vertices @ centres.T - 1.0))
    return Mesh(sphere.vertices * (1.0 + bumps.sum(-1))[:, None], sphere.faces)


def _joined(first: Mesh, second: Mesh) -> Mesh:
    return Mesh(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.faces, second.faces + np.int32(len(first.vertices))]),
    )


def _fitted(mesh: Mesh, extent: float) -> Mesh:
    """Centre the box at the origin and bring the furthest vertex to `extent`."""
    centred = mesh.vertices - mesh.bounds.mean(axis=0)
    furthest = float(np.linalg.norm(centred, axis=-1).max())
    if not (np.isfinite(furthest) and furthest > 0):
        raise SynthesisError("the object has no extent", "name a mesh with faces that have an area")
    return Mesh(centred * (extent / furthest), mesh.faces)
