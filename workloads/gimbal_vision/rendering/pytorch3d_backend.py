"""`pytorch3d`: soft silhouettes and their gradients; hard images for comparison.

On a CPU PyTorch3D tests every face at every pixel (7 to 9 ns each): there it suits toy sizes only.
Faces through the camera plane are clipped at `NEAREST`; seen from inside a mesh, some of their
pixels go missing (0.5 % where we looked), which the other renderers do not do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.errors import RenderError
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
)
from gimbal_vision.rendering.pytorch3d_cameras import pytorch3d_arguments
from gimbal_vision.rendering.shading import light_of, pack, shade, targets_of
from gimbal_vision.rendering.surface import surface_of
from gimbal_vision.rendering.unit_frame import UnitFrame
from gimbal_vision.rendering.views import Views

try:
    from pytorch3d.renderer import MeshRasterizer, PerspectiveCameras, RasterizationSettings
    from pytorch3d.structures import Meshes
except ImportError as error:
    raise RenderError(
        "The renderer 'pytorch3d' needs the package pytorch3d",
        "Build PyTorch3D 0.7.9 or later from source against your torch (see its INSTALL.md).",
    ) from error

NEAREST = 1e-4
"""Where faces that cross the camera plane are clipped, in units of the mesh's size."""


class PyTorch3dRenderer:
    """Renders with PyTorch3D's rasteriser, one face a pixel.

    Args:
        shading: How `rgb` is lit.
        device: "cpu", "cuda" or "cuda:N".
    """

    name: ClassVar[str] = "pytorch3d"

    def __init__(self, shading: Shading | None = None, device: str = "cpu") -> None:
        self._shading = shading or Shading()
        self._device = torch.device(device)

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
        frame = UnitFrame.of(mesh)
        vertices = torch.from_numpy(frame.points(mesh.vertices)).to(self._device)
        faces = torch.tensor(mesh.faces, dtype=torch.int64).to(self._device)
        poses = cameras.cam2world.copy()
        poses[:, :3, 3] = (poses[:, :3, 3] - frame.centre) * frame.scale
        K = torch.tensor(cameras.K).to(vertices)
        cam2world = torch.from_numpy(poses).to(vertices)
        surface = surface_of(mesh, wanted, parallel.default_threads())
        light, views = light_of(self._shading), Views.of(cameras)
        keys = np.empty((height, width), np.int64)
        for n in range(len(cameras)):
            fragments = _rasterise(
                vertices, faces, K[n : n + 1], cam2world[n : n + 1], (height, width)
            )
            depth = fragments.zbuf[0, ..., 0] / frame.scale
            ids = fragments.pix_to_face[0, ..., 0].int()
            pack(depth.cpu().numpy().ravel(), ids.cpu().numpy().ravel(), width, keys)
            targets = targets_of(images, n, (0, height))
            shade(keys, (0, height), width, views[n], surface, light, targets)
        return Rendering(images)


def soft_silhouettes(
    vertices: Tensor,
    faces: Tensor,
    K: Tensor,
    cam2world: Tensor,
    image_size: tuple[int, int],
    *,
    sigma: float = 1e-4,
    faces_per_pixel: int = 32,
) -> Tensor:
    """Return how surely each pixel is covered, with gradients to vertices and poses.

    A face covers a pixel with probability sigmoid(-d / sigma), d being the signed squared distance
    to its outline in normalised device units; faces are taken as independent (Liu et al., 2019).

    Args:
        vertices: [V, 3] float32, about unit size.
        faces: [F, 3] integer.
        K: [N, 3, 3] float32.
        cam2world: [N, 4, 4] float32.
        image_size: (H, W).
        sigma: Blur; smaller is sharper.
        faces_per_pixel: The nearest so many faces count.

    Returns:
        [N, H, W] in 0 to 1.
    """
    fragments = _rasterise(
        vertices,
        faces,
        K,
        cam2world,
        image_size,
        blur_radius=math.log(1.0 / 1e-4 - 1.0) * sigma,
        faces_per_pixel=faces_per_pixel,
    )
    covered = torch.sigmoid(-fragments.dists / sigma) * (fragments.pix_to_face >= 0)
    silhouettes: Tensor = 1.0 - (1.0 - covered).prod(dim=-1)
    return silhouettes


def _rasterise(
    vertices: Tensor,
    faces: Tensor,
    K: Tensor,
    cam2world: Tensor,
    image_size: tuple[int, int],
    blur_radius: float = 0.0,
    faces_per_pixel: int = 1,
) -> Any:
    """Return PyTorch3D's fragments; face ids are packed: view n adds n F."""
    settings = RasterizationSettings(
        image_size=image_size,
        blur_radius=blur_radius,
        faces_per_pixel=faces_per_pixel,
        bin_size=None if vertices.is_cuda else 0,
        perspective_correct=True,
        cull_backfaces=False,
        z_clip_value=NEAREST,
    )
    arguments = pytorch3d_arguments(K, cam2world, *image_size)
    cameras = PerspectiveCameras(**arguments._asdict(), in_ndc=False, device=vertices.device)
    meshes = Meshes(verts=[vertices], faces=[faces]).extend(len(K))
    return MeshRasterizer(cameras=cameras, raster_settings=settings)(meshes)
