"""`embree`: ray casting on the CPU, for large meshes in small images and as an independent oracle.

Its cost hardly depends on the number of faces, but a tree has to be built once per mesh. The tree
of the last mesh is kept.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import parallel
from gimbal_vision.rendering.base import (
    OUTPUTS,
    Array,
    Output,
    Rendering,
    Shading,
    allocate,
    check_mesh,
    clear,
)
from gimbal_vision.rendering.rays import CHUNK, Scene
from gimbal_vision.rendering.shading import light_of, pack, shade, targets_of
from gimbal_vision.rendering.surface import surface_of
from gimbal_vision.rendering.views import Views, view_rays


class EmbreeRenderer:
    """Renders by casting one ray through every pixel centre.

    Args:
        shading: How `rgb` is lit.
        threads: Upper limit; by default the cores this process may use.
    """

    name: ClassVar[str] = "embree"

    def __init__(self, shading: Shading | None = None, threads: int | None = None) -> None:
        self._shading = shading or Shading()
        self._threads = threads
        self._last: tuple[weakref.ref[Mesh], Scene] | None = None

    def render(
        self, mesh: Mesh, cameras: PinholeCameras, outputs: Sequence[Output] = OUTPUTS
    ) -> Rendering:
        """Render every view; see `Renderer.render`.

        A mesh object is taken not to change between calls.
        """
        wanted = tuple(outputs)
        check_mesh(mesh)
        height, width = cameras.height, cameras.width
        images = allocate(wanted, len(cameras), height, width)
        if not (wanted and len(mesh.faces) and len(cameras)):
            clear(images, self._shading.background)
            return Rendering(images)
        threads = self._threads or parallel.default_threads()
        scene = self._scene(mesh)
        surface, light = surface_of(mesh, wanted, threads), light_of(self._shading)
        views = Views.of(cameras)
        rows = max(1, min(height, CHUNK // width))

        def workspace() -> tuple[Array, Array]:
            return np.empty((rows * width, 3), np.float32), np.empty((rows, width), np.int64)

        def draw(band: tuple[int, int], scratch: tuple[Array, Array]) -> None:
            index, first = band
            view = views[index]
            last = min(first + rows, height)
            directions, keys = scratch[0][: (last - first) * width], scratch[1]
            view_rays(view, first, width, scene.frame.scale, directions)
            origin = np.broadcast_to(scene.frame.points(view.eye[None]), directions.shape)
            t, ids = scene.first_hit(origin, directions)
            pack(t, ids, width, keys)
            targets = targets_of(images, index, (first, last))
            shade(keys, (first, last), width, view, surface, light, targets)

        bands = [(n, first) for n in range(len(cameras)) for first in range(0, height, rows)]
        parallel.run(bands, draw, workspace, threads)
        return Rendering(images)

    def _scene(self, mesh: Mesh) -> Scene:
        last = self._last
        if last is not None and last[0]() is mesh:
            return last[1]
        scene = Scene(mesh)
        self._last = (weakref.ref(mesh), scene)
        return scene
