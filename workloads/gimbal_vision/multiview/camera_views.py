"""Views that are cars with pictures of their own, instead of images.

The image of such a view is only a canvas: its size is the panorama's, on whose grid tokens,
predictions and truth lie, and its pixels are never read. What the car saw is in `camera_img`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.views import Views

CAMERA_ORDER = ("front", "left", "rear", "right")


@dataclass(frozen=True, eq=False, kw_only=True)
class CameraViews(Views):
    """Views with pictures; see `Views` for the other fields, and the canvas's rays.

    Attributes:
        camera_img: [B, N, C, 3, h, w] normalised as images are; C pictures a view, in the ring's
            order, or as `camera_names` says.
        camera_present: [B, N, C] bool: the picture exists. None: all do.
        camera_intrinsics: [B, N, C, 3, 3] pixels, centres at +.5; told with `view_from_camera`.
        view_from_camera: [B, N, C, 4, 4] metres, where each camera sits on its car: the prior
            `rel_pose_to_agent`. None: cameras are taken to look where the ring says.
        camera_names: Of the C pictures, where they are in another order than the ring's; all fields
            above are in this order. None: they are in the ring's. See `in_order`.
    """

    camera_img: Tensor
    camera_present: Tensor | None = None
    camera_intrinsics: Tensor | None = None
    view_from_camera: Tensor | None = None
    camera_names: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraRing:
    """Where a car's cameras are meant to look; their places are not told.

    Attributes:
        yaw_deg: Of each camera's axis, to the right of straight ahead.
        hfov_deg: Horizontal angle of view.
        vfov_deg: Vertical angle of view.
        names: Of the cameras, in the order in which a model is shown them.
    """

    yaw_deg: tuple[float, ...] = (0.0, -100.0, 180.0, 100.0)
    hfov_deg: float = 100.0
    vfov_deg: float = 2.0 * math.degrees(math.atan(0.75 * math.tan(math.radians(50.0))))
    names: tuple[str, ...] = CAMERA_ORDER

    def directions(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Return [C, P, 3] unit directions of the patches' centres in the car's frame.

        Args:
            grid: Rows and columns of patches of a picture.
            like: Decides type and device.
        """
        K = torch.eye(3, dtype=torch.float64)
        for axis, (count, fov) in enumerate(
            zip(reversed(grid), (self.hfov_deg, self.vfov_deg), strict=True)
        ):
            K[axis, axis] = count / 2.0 / math.tan(math.radians(fov) / 2.0)
            K[axis, 2] = count / 2.0
        yaw = torch.tensor(self.yaw_deg, dtype=torch.float64).deg2rad()
        sine, cosine, nothing = yaw.sin(), yaw.cos(), torch.zeros_like(yaw)
        rows = [
            (cosine, nothing, sine),
            (nothing, nothing + 1.0, nothing),
            (-sine, nothing, cosine),
        ]
        rotation = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        return patch_directions(K, rotation, grid).to(like)


def in_order(views: CameraViews, ring: CameraRing) -> CameraViews:
    """Return the views with their pictures in the ring's order.

    Nothing is guessed: OPV2V's files, for one, are front, right, left, rear, which is no rotation
    of the order that models are shown.

    Raises:
        MultiViewError: The pictures' names are not the ring's, each once.
    """
    if views.camera_names is None:
        return views
    if sorted(views.camera_names) != sorted(ring.names):
        raise MultiViewError(
            f"camera_names are {', '.join(views.camera_names)}",
            f"name each of {', '.join(ring.names)} once, in the order of the pictures",
        )
    order = [views.camera_names.index(name) for name in ring.names]

    def permuted(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[:, :, order]

    return replace(
        views,
        camera_img=views.camera_img[:, :, order],
        camera_present=permuted(views.camera_present),
        camera_intrinsics=permuted(views.camera_intrinsics),
        view_from_camera=permuted(views.view_from_camera),
        camera_names=None,
    )


def told_directions(views: CameraViews, grid: tuple[int, int], patch: int) -> Tensor | None:
    """Return [B, N, C, P, 3] directions of the patches' centres in the car's frame, where told.

    Args:
        views: With `camera_intrinsics` and `view_from_camera`; without either: None.
        grid: Rows and columns of patches of a picture.
        patch: Side of a patch in pixels.
    """
    if views.view_from_camera is None or views.camera_intrinsics is None:
        return None
    scale = views.camera_intrinsics.new_tensor([1.0 / patch, 1.0 / patch, 1.0])
    return patch_directions(
        views.camera_intrinsics * scale[:, None], views.view_from_camera[..., :3, :3], grid
    )


def patch_directions(K: Tensor, rotation: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return [..., P, 3] unit directions of patch centres, row by row.

    Args:
        K: [..., 3, 3] intrinsics in patches.
        rotation: [..., 3, 3] from the camera's axes into the car's.
        grid: Rows and columns.
    """
    rows, columns = (torch.arange(n, dtype=K.dtype, device=K.device) + 0.5 for n in grid)
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    x = (u.flatten() - K[..., 0, 2, None]) / K[..., 0, 0, None]
    y = (v.flatten() - K[..., 1, 2, None]) / K[..., 1, 1, None]
    rays = torch.nn.functional.normalize(torch.stack([x, y, torch.ones_like(x)], dim=-1), dim=-1)
    return rays @ rotation.mT


def canvas_directions(views: Views, patch: int) -> Tensor | None:
    """Return [P, 3] unit directions of the canvas's patches, which all views share.

    Args:
        views: Their `ray_directions_cam` say what the canvas is; None where they are missing.
        patch: Side of a patch in pixels.
    """
    if views.ray_directions_cam is None:
        return None
    rays = views.ray_directions_cam[0, 0]
    pooled = torch.nn.functional.avg_pool2d(rays.movedim(-1, 0)[None], patch)[0]
    return torch.nn.functional.normalize(pooled.flatten(1).mT, dim=-1)
