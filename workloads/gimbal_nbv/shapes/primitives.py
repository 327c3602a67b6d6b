"""Closed surfaces from which the shape families are built: lathes, sweeps, prisms and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gimbal_nbv.shapes.solid import Points, Solid, grid_faces, merge


def box(size: ArrayLike, cells: int = 6) -> Solid:
    """Box centred on the origin; each side is a grid of `cells` by `cells` quads."""
    half = np.asarray(size, dtype=np.float64) / 2
    u = np.linspace(-1, 1, cells + 1)
    v, w = np.meshgrid(u, u, indexing="ij")
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            side = np.empty(((cells + 1) ** 2, 3))
            side[:, axis] = sign
            side[:, (axis + 1) % 3] = sign * w.ravel()
            side[:, (axis + 2) % 3] = v.ravel()
            faces = grid_faces(cells + 1, cells + 1, wrap_rows=False, wrap_columns=False)
            sides.append(Solid(side * half, faces))
    return merge(sides)


def lathe(profile: ArrayLike, segments: int = 32) -> Solid:
    """Turn a profile about +z.

    Args:
        profile: (radius, z) pairs [N,2]. It starts and ends on the axis, or it is closed by
            repeating its first point; the solid lies to the left of the path.
        segments: Steps around the axis.
    """
    path = np.asarray(profile, dtype=np.float64)
    closed = bool(np.allclose(path[0], path[-1])) and path[0, 0] > 0
    if closed:
        path = path[:-1]
    angle = np.arange(segments) * (2 * np.pi / segments)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices = np.empty((len(path), segments, 3))
    vertices[..., :2] = path[:, None, :1] * ring
    vertices[..., 2] = path[:, None, 1]
    faces = grid_faces(len(path), segments, wrap_rows=closed, wrap_columns=True)
    return without_slivers(Solid(vertices.reshape(-1, 3), faces))


def without_slivers(solid: Solid) -> Solid:
    """Drop faces without area, such as those at the poles of a lathe."""
    a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return Solid(solid.vertices, solid.faces[area > 1e-12])


def cylinder(radius: float, height: float, top: float | None = None, segments: int = 32) -> Solid:
    """Cylinder or frustum along z, centred; `top` is the radius of the upper end."""
    upper = radius if top is None else top
    side = np.linspace(0, 1, 9)[:, None]
    low, high = np.array([radius, -height / 2]), np.array([upper, height / 2])
    inner = np.linspace(0, 1, 4)[:-1, None]
    bottom, cap = inner * low, high - inner * [upper, 0]
    bottom[:, 1] = -height / 2
    return lathe([*bottom, *(low + side * (high - low)), *cap[1:], [0, height / 2]], segments)


def ellipsoid(radii: ArrayLike, segments: int = 32) -> Solid:
    """Ellipsoid centred on the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    profile[[0, -1], 0] = 0
    return lathe(profile, segments).scaled(radii)


def capsule(radius: float, length: float, segments: int = 24) -> Solid:
    """Cylinder along z with half-sphere ends; `length` is between the centres of the ends."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 2)
    profile = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    profile[:, 1] += np.where(angle < 0, -length / 2, length / 2)
    profile[[0, -1], 0] = 0
    return lathe(profile, segments)


def torus(major: float, minor: float, segments: int = 48, sides: int = 20) -> Solid:
    """Torus about z."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    return lathe(np.stack([major + minor * np.cos(angle), minor * np.sin(angle)], axis=1), segments)


def shell(outer: ArrayLike, wall: float, segments: int = 40) -> Solid:
    """Open vessel: an outer profile from the axis up to the rim, hollowed to a wall thickness."""
    path = np.asarray(outer, dtype=np.float64)
    inner = path[::-1].copy()
    inner[:, 0] = np.maximum(inner[:, 0] - wall, 0)
    inner[:, 1] = np.maximum(inner[:, 1], path[0, 1] + wall)
    inner[-1] = [0, path[0, 1] + wall]
    inner[0, 1] = path[-1, 1]
    return lathe(np.concatenate([path, inner]), segments)


def sweep(
    path: Points,
    radii: ArrayLike,
    *,
    sides: int = 14,
    section: Points | None = None,
    closed: bool = False,
) -> Solid:
    """Tube along a path with a round (or, with two radii a point, elliptic) section.

    Args:
        path: Centre line [N,3].
        radii: One radius, one a point [N], or two a point [N,2].
        sides: Vertices of a round section.
        section: Another outline of about unit radius [S,2], counter-clockwise.
        closed: Join the end to the start; otherwise both ends are capped.
    """
    outline = circle(1.0, sides) if section is None else section
    normal, binormal = _frames(path, closed=closed)
    radius = np.broadcast_to(np.asarray(radii, dtype=np.float64).T, (2, len(path))).T
    rings = (
        path[:, None]
        + (radius[:, :1] * outline[:, 0])[..., None] * normal[:, None]
        + (radius[:, 1:] * outline[:, 1])[..., None] * binormal[:, None]
    )
    if not closed:
        ends = np.repeat(path[[0, -1]][:, None], len(outline), axis=1)
        rings = np.concatenate([ends[:1], rings, ends[1:]])
    faces = grid_faces(len(rings), len(outline), wrap_rows=closed, wrap_columns=True)
    return without_slivers(Solid(rings.reshape(-1, 3), faces))


def _frames(path: Points, *, closed: bool) -> tuple[Points, Points]:
    """Return normals and binormals carried along the path without twisting."""
    step = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = step / np.linalg.norm(step, axis=1, keepdims=True)
    normal = np.empty_like(path)
    start = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    for k, t in enumerate(tangent):
        start = start - t * (t @ start)
        start = start / np.linalg.norm(start)
        normal[k] = start
    binormal = np.cross(tangent, normal)
    if closed:
        first, last = normal[0], normal[-1] - tangent[0] * (tangent[0] @ normal[-1])
        twist = np.arctan2(last @ binormal[0], last @ first)
        angle = -twist * np.arange(len(path)) / len(path)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        normal, binormal = cos * normal + sin * binormal, cos * binormal - sin * normal
    return normal, binormal


def prism(outline: ArrayLike, height: float, layers: int = 4) -> Solid:
    """Extrude an outline [N,2] (counter-clockwise, star-shaped about its mean) along z."""
    loop = np.asarray(outline, dtype=np.float64)
    centre = loop.mean(axis=0)
    rings: list[Points] = []
    levels = np.linspace(-height / 2, height / 2, layers + 1)
    for share in (0.0, 0.5):
        rings.append(_ring(centre + share * (loop - centre), levels[0]))
    rings.extend(_ring(loop, z) for z in levels)
    for share in (0.5, 0.0):
        rings.append(_ring(centre + share * (loop - centre), levels[-1]))
    faces = grid_faces(len(rings), len(loop), wrap_rows=False, wrap_columns=True)
    return without_slivers(Solid(np.concatenate(rings), faces))


def ring_prism(outer: ArrayLike, inner: ArrayLike, height: float, layers: int = 4) -> Solid:
    """Extrude the strip between two loops of equal length [N,2], both counter-clockwise."""
    big, small = (np.asarray(loop, dtype=np.float64) for loop in (outer, inner))
    levels = np.linspace(-height / 2, height / 2, layers + 1)
    rings = [_ring(big, z) for z in levels] + [_ring(small, z) for z in levels[::-1]]
    faces = grid_faces(len(rings), len(big), wrap_rows=True, wrap_columns=True)
    return Solid(np.concatenate(rings), faces)


def _ring(loop: Points, z: float) -> Points:
    return np.concatenate([loop, np.full((len(loop), 1), z)], axis=1)


def circle(radius: float, count: int = 48, centre: Sequence[float] = (0.0, 0.0)) -> Points:
    """Return a counter-clockwise circle [N,2]."""
    angle = np.arange(count) * (2 * np.pi / count)
    return np.asarray(
        np.asarray(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    )


def rectangle(width: float, depth: float, count: int = 48) -> Points:
    """Return a counter-clockwise rectangle [N,2] that pairs with `circle` point by point."""
    unit = circle(1.0, count)
    unit = unit / np.abs(unit).max(axis=1, keepdims=True)
    return np.asarray(unit * [width / 2, depth / 2])
