"""`warp`: ray casting on CUDA, or on one CPU thread to try it out.

Only rays are cast on the device; face ids and depths (8 bytes a pixel) come back and are shaded by
the code all backends share, so that images differ from the CPU's by no more than rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.errors import RenderError
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
from gimbal_vision.rendering.shading import light_of, pack, shade, targets_of
from gimbal_vision.rendering.surface import surface_of
from gimbal_vision.rendering.unit_frame import UnitFrame
from gimbal_vision.rendering.views import Views

try:
    import warp as wp
except ImportError as error:
    raise RenderError(
        "The renderer 'warp' needs the package warp-lang", "pip install 'gimbal[warp]'"
    ) from error

from gimbal_vision.rendering.warp_kernel import cast

VIEWS_AT_ONCE = 16
"""Views sent to the device together: bounds its memory."""


class WarpRenderer:
    """Renders by casting rays with NVIDIA Warp.

    Args:
        shading: How `rgb` is lit.
        device: "cuda", "cuda:N" or "cpu".

    Raises:
        RenderError: If the device is not there.
    """

    name: ClassVar[str] = "warp"

    def __init__(self, shading: Shading | None = None, device: str = "cuda") -> None:
        wp.config.log_level = max(wp.config.log_level, wp.LOG_WARNING)
        wp.init()
        if device != "cpu" and not wp.is_cuda_available():
            raise RenderError(
                f"The renderer 'warp' finds no CUDA device for {device!r}",
                "Install an NVIDIA driver, or render with device cpu.",
            )
        try:
            self._device: Any = wp.get_device(device)
        except ValueError as error:
            raise RenderError(
                f"There is no device {device!r}: {error}", "See `gimbal doctor`."
            ) from error
        self._shading = shading or Shading()

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
        threads = parallel.default_threads()
        surface, light = surface_of(mesh, wanted, threads), light_of(self._shading)
        views = Views.of(cameras)
        depth, ids = self._hits(mesh, views, height * width, width)

        def draw(index: int, keys: Array) -> None:
            pack(depth[index], ids[index], width, keys)
            targets = targets_of(images, index, (0, height))
            shade(keys, (0, height), width, views[index], surface, light, targets)

        parallel.run(
            range(len(cameras)), draw, lambda: np.empty((height, width), np.int64), threads
        )
        return Rendering(images)

    def _hits(self, mesh: Mesh, views: Views, pixels: int, width: int) -> tuple[Array, Array]:
        """Return depth [N, H W] float32 and face ids [N, H W] int32, -1 where nothing was hit."""
        frame = UnitFrame.of(mesh)
        count = len(views.eyes)
        depth, ids = np.empty((count, pixels), np.float32), np.empty((count, pixels), np.int32)
        with wp.ScopedDevice(self._device):
            device_mesh = wp.Mesh(
                points=wp.array(frame.points(mesh.vertices), dtype=wp.vec3),
                indices=wp.array(
                    np.ascontiguousarray(mesh.faces, np.int32).ravel(), dtype=wp.int32
                ),
            )
            for first in range(0, count, VIEWS_AT_ONCE):
                part = slice(first, min(first + VIEWS_AT_ONCE, count))
                shape = (part.stop - part.start, pixels)
                out = wp.empty(shape, dtype=wp.float32), wp.empty(shape, dtype=wp.int32)
                inputs = [
                    device_mesh.id,
                    wp.array(frame.directions(views.rays[part]), dtype=wp.mat33),
                    wp.array(frame.points(views.eyes[part]), dtype=wp.vec3),
                    wp.array(views.centres[part].astype(np.float32), dtype=wp.vec2),
                    width,
                ]
                wp.launch(cast, dim=shape, inputs=inputs, outputs=list(out))
                depth[part], ids[part] = out[0].numpy(), out[1].numpy()
        return depth, ids
