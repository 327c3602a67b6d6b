"""Rays against a mesh, through Embree called directly.

`embreex` intersects one ray after another on one thread in float32, but releases the GIL: cutting
the rays into chunks for a few threads gives nearly that many times the speed. Everything is brought
into the mesh's `UnitFrame` first, so that float32 keeps its 7 digits wherever the mesh lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import ArrayLike

from gimbal_vision.errors import RenderError
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import parallel
from gimbal_vision.rendering.base import Array, Bools, Floats, Ids, check_mesh
from gimbal_vision.rendering.unit_frame import UnitFrame

CHUNK = 16_384
"""Rays in one call: long enough to hide Python, short enough to balance two threads."""


class Scene:
    """A mesh in Embree, in its `UnitFrame`; one call, one thread.

    Args:
        mesh: At least one face.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.frame = UnitFrame.of(mesh)
        self._embree = EmbreeScene()
        self._geometry = TriangleMesh(
            self._embree,
            self.frame.points(np.asarray(mesh.vertices, np.float64)),
            np.ascontiguousarray(mesh.faces, np.int32),
        )
        # Embree builds its tree on the first query: have it done before threads share the scene.
        self._embree.run(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))

    def first_hit(self, origins: Floats, directions: Floats) -> tuple[Floats, Ids]:
        """Return (t, face id) of [R, 3] rays of the scene's frame; t is 1e37, id -1 for a miss."""
        hits = self._embree.run(origins, directions, output=1)
        return hits["tfar"], hits["primID"]

    def blocked(self, origins: Floats, directions: Floats, reach: Floats) -> Bools:
        """Return whether [R, 3] rays meet a face before t = `reach`, which is overwritten."""
        hit: Ids = self._embree.run(origins, directions, dists=reach, query="OCCLUDED")
        return hit >= 0


class RayCaster:
    """Answers ray queries against one mesh; safe to share among threads.

    Args:
        mesh: Later changes to its arrays are not seen.
        threads: Upper limit; by default the cores this process may use.

    Raises:
        RenderError: If the mesh's arrays do not fit together.
    """

    def __init__(self, mesh: Mesh, threads: int | None = None) -> None:
        check_mesh(mesh)
        self._threads = threads or parallel.default_threads()
        self._scene = Scene(mesh) if len(mesh.faces) else None

    def first_hit(self, origins: ArrayLike, directions: ArrayLike) -> tuple[Floats, Ids]:
        """Return where each ray first meets a face, from either side.

        Args:
            origins: [..., 3] world; broadcast against directions.
            directions: [..., 3] world, of any length but zero.

        Returns:
            t [...] float32 in units of the direction's length, inf for a miss, and the face id
            [...] int32, -1 for a miss.
        """
        o, d, shape = _paired(origins, directions)
        t = np.full(math.prod(shape), np.inf, np.float32)
        face = np.full(t.size, -1, np.int32)
        scene = self._scene
        if scene is None:
            return t.reshape(shape), face.reshape(shape)

        def cast(rays: slice) -> None:
            distance, face[rays] = scene.first_hit(
                scene.frame.points(o[rays]), scene.frame.directions(d[rays])
            )
            t[rays] = np.where(face[rays] >= 0, distance, np.float32(np.inf))

        self._in_chunks(t.size, cast)
        return t.reshape(shape), face.reshape(shape)

    def occluded(self, origins: ArrayLike, targets: ArrayLike, epsilon: float = 0.0) -> Bools:
        """Return whether a face lies between each pair of points.

        Args:
            origins: [..., 3] world, such as an optical centre.
            targets: [..., 3] world, such as points on the surface; broadcast against origins.
            epsilon: World distance before the target that does not count, so that the face a
                target lies on does not hide it.

        Returns:
            [...] bool.
        """
        o, target, shape = _paired(origins, targets)
        hidden = np.zeros(math.prod(shape), np.bool_)
        scene = self._scene
        if scene is None:
            return hidden.reshape(shape)

        def cast(rays: slice) -> None:
            segment = target[rays] - o[rays]
            length = np.sqrt(np.einsum("ij,ij->i", segment, segment))
            reach = np.maximum(1.0 - epsilon / np.maximum(length, 1e-300), 0.0)
            blocked = scene.blocked(
                scene.frame.points(o[rays]),
                scene.frame.directions(segment),
                reach.astype(np.float32),
            )
            hidden[rays] = blocked & (reach > 0)

        self._in_chunks(hidden.size, cast)
        return hidden.reshape(shape)

    def _in_chunks(self, rays: int, cast: Callable[[slice], None]) -> None:
        chunks = [slice(i, min(i + CHUNK, rays)) for i in range(0, rays, CHUNK)]
        parallel.run(chunks, lambda rays, _: cast(rays), lambda: None, self._threads)


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array, tuple[int, ...]]:
    """Broadcast two arrays of 3-vectors to [R, 3] without copying a single one R times.

    Raises:
        RenderError: If they are no 3-vectors or do not broadcast.
    """
    a, b = (np.asarray(x, dtype=_floating(x)) for x in (first, second))
    try:
        shape: tuple[int, ...] = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = ()
    if a.shape[-1:] != (3,) or b.shape[-1:] != (3,) or not shape:
        raise RenderError(
            f"Points or directions of shape {a.shape} and {b.shape} do not make rays",
            "Give arrays whose last axis has 3 components and whose other axes broadcast.",
        )
    return _flat(a, shape), _flat(b, shape), shape[:-1]


def _floating(array: Any) -> Any:
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _flat(array: Array, shape: tuple[int, ...]) -> Array:
    if array.size == 3:
        return np.broadcast_to(array.reshape(1, 3), (math.prod(shape[:-1]), 3))
    return np.broadcast_to(array, shape).reshape(-1, 3)
