"""`raster`: our z-buffer on the CPU, the default below some hundred thousand faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering import parallel
from gimbal_vision.rendering.base import (
    OUTPUTS,
    Output,
    Rendering,
    Shading,
    allocate,
    check_mesh,
    clear,
    frozen,
)
from gimbal_vision.rendering.shading import light_of, shade, targets_of
from gimbal_vision.rendering.surface import surface_of
from gimbal_vision.rendering.views import Views
from gimbal_vision.rendering.zbuffer import EMPTY, LANES, project, rasterise

Array = np.ndarray[Any, np.dtype[Any]]


class RasterRenderer:
    """Renders on the CPU with numba kernels.

    The images are the same to the last bit for any number of threads.

    Args:
        shading: How `rgb` is lit.
        threads: Upper limit; by default the cores this process may use (see
            `parallel.default_threads`).
    """

    name: ClassVar[str] = "raster"

    def __init__(self, shading: Shading | None = None, threads: int | None = None) -> None:
        self._shading = shading or Shading()
        self._threads = threads

    def render(
        self, mesh: Mesh, cameras: PinholeCameras, outputs: Sequence[Output] = OUTPUTS
    ) -> Rendering:
        """Render every view; see `Renderer.render`."""
        wanted = tuple(outputs)
        check_mesh(mesh)
        height, width = cameras.height, cameras.width
        images = allocate(wanted, len(cameras), height, width)
        if not (wanted and len(mesh.faces) and len(cameras)):
            clear(images, self._shading.background)
            return Rendering(images)
        vertices, faces = frozen(mesh.vertices, np.float64), frozen(mesh.faces, np.int32)
        threads = self._threads or parallel.default_threads()
        surface, light = surface_of(mesh, wanted, threads), light_of(self._shading)
        views = Views.of(cameras)
        bands = parallel.row_bands(len(cameras), height, threads)
        rows = max(last - first for _, first, last in bands)
        columns = np.arange(width + LANES)

        def workspace() -> tuple[Array, Array, Array]:
            return (
                np.empty((len(vertices), 4), np.float64),
                np.empty((len(vertices), 2), np.float32),
                np.empty((rows, width + LANES), np.int64),
            )

        def draw(band: tuple[int, int, int], scratch: tuple[Array, Array, Array]) -> None:
            index, first, last = band
            view = views[index]
            points, pixels, keys = scratch
            keys.fill(EMPTY)
            project(vertices, view, (height, width), points, pixels)
            rasterise(faces, points, pixels, view, (first, last), columns - view.cx, keys)
            targets = targets_of(images, index, (first, last))
            shade(keys, (first, last), width, view, surface, light, targets)

        parallel.run(bands, draw, workspace, threads)
        return Rendering(images)
