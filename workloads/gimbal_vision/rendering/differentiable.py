"""Depth, normals and attributes with gradients, recomputed from face ids.

Any renderer says which face each pixel sees; given that, everything else is a closed formula of the
pose and the three corners, which torch differentiates. It costs as much as the visible pixels, not
as the faces, and is exact inside faces. What it cannot see is visibility: moving a silhouette or an
occlusion edge changes the ids, and that is not in the gradient. Where the outline has to pull, add
a soft silhouette (`pytorch3d_backend.soft_silhouettes`) or a robust loss.

At grazing incidence dz/dpose grows without bound (1e2 to 1e3 at a cosine of 1e-3). Such pixels keep
their value, give no gradient, and are marked invalid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_vision.errors import RenderError


@dataclass(frozen=True)
class DeferredImages:
    """Images that carry gradients; 0 where nothing was hit.

    Attributes:
        depth: [N, H, W] z-depth in world units.
        normal: [N, H, W, 3] unit face normals, world, facing the camera.
        attributes: [N, H, W, C] interpolated vertex attributes, or None.
        valid: [N, H, W] bool: hit, and not at grazing incidence.
    """

    depth: Tensor
    normal: Tensor
    attributes: Tensor | None
    valid: Tensor


def deferred_images(
    face_id: Tensor,
    vertices: Tensor,
    faces: Tensor,
    K: Tensor,
    cam2world: Tensor,
    *,
    vertex_attributes: Tensor | None = None,
    min_cosine: float = 0.02,
) -> DeferredImages:
    """Recompute images from face ids, differentiably in everything but the ids.

    Args:
        face_id: [N, H, W] integer, -1 where nothing was hit, from any renderer and these cameras.
        vertices: [V, 3] floating point, world; its type and device are those of the result.
        faces: [F, 3] integer.
        K: [N, 3, 3] intrinsics, pixel centres at +.5.
        cam2world: [N, 4, 4].
        vertex_attributes: [V, C], such as colours.
        min_cosine: Least cosine between ray and normal that still gets a gradient.

    Raises:
        RenderError: If the shapes do not fit together.
    """
    _check(face_id, K, cam2world)
    shape = tuple(face_id.shape)
    pixel = torch.nonzero(face_id.reshape(-1) >= 0)[:, 0]
    seen = face_id.reshape(-1)[pixel].long()
    corners = faces.long()[seen]
    a, b, c = vertices[corners].unbind(1)
    eye, ray = _rays(pixel, shape, K.to(vertices), cam2world.to(vertices))
    normal = torch.linalg.cross(b - a, c - a)
    slope = (normal * ray).sum(-1)
    with torch.no_grad():
        cosine = slope.abs() / (normal.norm(dim=-1) * ray.norm(dim=-1)).clamp_min(1e-300)
        steep = cosine > min_cosine
    height = (normal * (a - eye)).sum(-1)
    z = height / torch.where(steep, slope, torch.ones_like(slope))
    grazing = (height / torch.where(slope == 0, torch.ones_like(slope), slope)).detach()
    z = torch.where(steep, z, grazing)
    facing = torch.where(steep[:, None], normal, normal.detach()) * -slope.detach().sign()[:, None]
    facing = torch.nn.functional.normalize(facing, dim=-1, eps=1e-30)
    attributes = None
    if vertex_attributes is not None:
        weights = _barycentric(eye + z[:, None] * ray, a, b, c, normal, steep)
        attributes = (weights[:, :, None] * vertex_attributes[corners]).sum(1)
        attributes = _image(attributes, pixel, shape)
    return DeferredImages(
        depth=_image(z, pixel, shape),
        normal=_image(facing, pixel, shape),
        attributes=attributes,
        valid=_image(steep, pixel, shape),
    )


def _check(face_id: Tensor, K: Tensor, cam2world: Tensor) -> None:
    views = face_id.shape[0] if face_id.ndim == 3 else -1
    if K.shape != (views, 3, 3) or cam2world.shape != (views, 4, 4):
        raise RenderError(
            f"face_id {tuple(face_id.shape)}, K {tuple(K.shape)} and cam2world "
            f"{tuple(cam2world.shape)} do not describe the same views",
            "Give face_id as [N, H, W], K as [N, 3, 3] and cam2world as [N, 4, 4].",
        )


def _rays(
    pixel: Tensor, shape: tuple[int, ...], K: Tensor, cam2world: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the optical centre and the direction with camera z = 1 of flat pixel indices."""
    _, height, width = shape
    view = pixel // (height * width)
    row = pixel // width % height
    column = pixel % width
    k = K[view]
    x = (column + 0.5 - k[:, 0, 2]) / k[:, 0, 0]
    y = (row + 0.5 - k[:, 1, 2]) / k[:, 1, 1]
    pose = cam2world[view]
    ray = pose[:, :3, 0] * x[:, None] + pose[:, :3, 1] * y[:, None] + pose[:, :3, 2]
    return pose[:, :3, 3], ray


def _barycentric(
    point: Tensor, a: Tensor, b: Tensor, c: Tensor, normal: Tensor, steep: Tensor
) -> Tensor:
    """Return [P, 3] weights of points on their faces; without gradient where not `steep`."""
    square = (normal * normal).sum(-1)
    square = torch.where(square > 0, square, torch.ones_like(square))
    offset = point - a
    second = (torch.linalg.cross(c - a, normal) * offset).sum(-1) / square
    third = (torch.linalg.cross(normal, b - a) * offset).sum(-1) / square
    weights = torch.stack([1 - second - third, second, third], dim=-1)
    return torch.where(steep[:, None], weights, weights.detach())


def _image(values: Tensor, pixel: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Spread [P, ...] values over an image that is 0 elsewhere."""
    flat = values.new_zeros((shape[0] * shape[1] * shape[2], *values.shape[1:]))
    return flat.index_copy(0, pixel, values).reshape(*shape, *values.shape[1:])
