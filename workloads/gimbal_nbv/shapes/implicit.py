"""Smooth and cut shapes: signed distance fields turned into triangles by surface nets.

Surface nets (Gibson 1998) put one vertex in each cell the surface crosses: short to write, fast
in numpy, and free of the slivers of marching cubes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gimbal_nbv.shapes.solid import Solid

Field = NDArray[np.float32]
Distance = Callable[[Field], Field]
"""Signed distance, negative inside, of points float32 [N,3]."""

_BLOCK = 4
_LIPSCHITZ = 1.5
"""How much faster than a true distance a field may change; tapered rods and waves exceed 1."""
_CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1]


def mesh_of(distance: Distance, low: ArrayLike, high: ArrayLike, resolution: int = 44) -> Solid:
    """Triangulate the zero level inside a box with `resolution` cells along its longest side."""
    lower, upper = np.asarray(low, np.float64), np.asarray(high, np.float64)
    spacing = float((upper - lower).max()) / resolution
    blocks = np.ceil(((upper - lower) / spacing + 5) / _BLOCK).astype(int)
    origin = lower - 2 * spacing
    field = _sampled(distance, origin, spacing, blocks)
    return _surface_nets(field).scaled(spacing).moved(origin)


def _sampled(
    distance: Distance, origin: NDArray[np.float64], spacing: float, blocks: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Sample a field on a grid; blocks the surface cannot cross get the value of their middle."""
    corners = _BLOCK * np.stack(np.meshgrid(*map(np.arange, blocks), indexing="ij"), axis=-1)
    corners = corners.reshape(-1, 3)
    middle = distance((origin + spacing * (corners + (_BLOCK - 1) / 2)).astype(np.float32))
    near = np.abs(middle) < _LIPSCHITZ * spacing * _BLOCK * np.sqrt(3) / 2
    inner = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    fine = origin + spacing * (corners[near][:, None] + inner)
    values = np.repeat(middle[:, None].astype(np.float64), _BLOCK**3, axis=1)
    values[near] = distance(fine.reshape(-1, 3).astype(np.float32)).reshape(-1, _BLOCK**3)
    grid = values.reshape(*blocks, _BLOCK, _BLOCK, _BLOCK)
    return grid.transpose(0, 3, 1, 4, 2, 5).reshape(*(blocks * _BLOCK))


def _surface_nets(field: NDArray[np.float64]) -> Solid:
    inside = field < 0
    cells_shape = tuple(n - 1 for n in field.shape)
    count = np.zeros(cells_shape, dtype=np.int8)
    for i, j, k in _CORNERS:
        count += inside[i : i + cells_shape[0], j : j + cells_shape[1], k : k + cells_shape[2]]
    active = (count > 0) & (count < 8)
    cells = np.argwhere(active)
    index = np.full(cells_shape, -1, dtype=np.int32)
    index[active] = np.arange(len(cells))
    corners = field[tuple((cells[:, None] + _CORNERS).transpose(2, 0, 1))]
    total, hits = np.zeros((len(cells), 3)), np.zeros((len(cells), 1))
    for a, b in _EDGES:
        crossed = ((corners[:, a] < 0) != (corners[:, b] < 0))[:, None]
        span = corners[:, a] - corners[:, b]
        share = corners[:, a] / np.where(span == 0, 1, span)
        total += crossed * (_CORNERS[a] + share[:, None] * (_CORNERS[b] - _CORNERS[a]))
        hits += crossed
    return Solid(cells + total / hits, _quads(inside, index))


def _quads(inside: NDArray[np.bool_], index: NDArray[np.int32]) -> NDArray[np.int32]:
    quads = []
    for axis in range(3):
        one, two = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
        ahead = np.roll(inside, -1, axis=axis)
        edges = inside != ahead
        edges[tuple(slice(None) if k != axis else -1 for k in range(3))] = False
        start = np.argwhere(edges)
        around = [index[tuple((start - s).T)] for s in (one + two, two, 0 * one, one)]
        quad = np.stack(around, axis=1)
        outward = inside[tuple(start.T)]
        quads.append(np.where(outward[:, None], quad, quad[:, ::-1]))
    q = np.concatenate(quads)
    return np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]).astype(np.int32)


def ball(centre: ArrayLike, radius: float) -> Distance:
    """Sphere."""
    c = np.asarray(centre, np.float32)
    return lambda p: np.linalg.norm(p - c, axis=1) - np.float32(radius)


def rod(
    start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None
) -> Distance:
    """Capsule whose radius changes linearly from start to end (a bound, not exact)."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    r0, r1 = np.float32(radius), np.float32(radius if end_radius is None else end_radius)

    def distance(p: Field) -> Field:
        axis = b - a
        t = np.clip((p - a) @ axis / max(float(axis @ axis), 1e-12), 0, 1)
        return np.asarray(np.linalg.norm(p - a - t[:, None] * axis, axis=1) - (r0 + (r1 - r0) * t))

    return distance


def block(centre: ArrayLike, size: ArrayLike, rounding: float = 0.0) -> Distance:
    """Box with rounded edges."""
    c = np.asarray(centre, np.float32)
    half = np.asarray(size, np.float32) / 2 - np.float32(rounding)

    def distance(p: Field) -> Field:
        q = np.abs(p - c) - half
        outside = np.linalg.norm(np.maximum(q, 0), axis=1)
        return np.asarray(outside + np.minimum(q.max(axis=1), 0) - np.float32(rounding))

    return distance


def drill(centre: ArrayLike, axis: int, radius: float, depth: float = 10.0) -> Distance:
    """Cylinder along a coordinate axis, `depth` long, for cutting."""
    c = np.asarray(centre, np.float32)
    others = [k for k in range(3) if k != axis]

    def distance(p: Field) -> Field:
        q = p - c
        side = np.linalg.norm(q[:, others], axis=1) - np.float32(radius)
        return np.asarray(np.maximum(side, np.abs(q[:, axis]) - np.float32(depth / 2)))

    return distance


def blend(parts: Sequence[Distance], width: float) -> Distance:
    """Union whose seams are rounded over a width (polynomial smooth minimum)."""

    def distance(p: Field) -> Field:
        total = parts[0](p)
        for part in parts[1:]:
            other = part(p)
            h = np.maximum(np.float32(width) - np.abs(total - other), 0) / np.float32(width)
            total = np.minimum(total, other) - h * h * np.float32(width / 4)
        return np.asarray(total)

    return distance


def cut(base: Distance, holes: Sequence[Distance]) -> Distance:
    """Take holes away from a base."""

    def distance(p: Field) -> Field:
        total = base(p)
        for hole in holes:
            total = np.maximum(total, -hole(p))
        return np.asarray(total)

    return distance


def displaced(base: Distance, waves: NDArray[np.float32], amplitude: float) -> Distance:
    """Move a surface in and out by a sum of sinusoids with wave vectors [K,4] (k, phase)."""

    def distance(p: Field) -> Field:
        wave = np.sin(p @ waves[:, :3].T + waves[:, 3]).mean(axis=1)
        return np.asarray(base(p) + np.float32(amplitude) * wave)

    return distance
