"""A piece of samples as tensors, and what a model and a loss read of it.

Images stay bytes and points are not stored: both are made on the device, where it is cheaper than
sending them there. Keys of a piece of B samples padded to N views each:

- `rgb` [B, N, H, W, 3] uint8 sRGB; `range_m` [B, N, H, W] float32 along the ray, 0 where unknown;
- `valid`, `non_ambiguous` [B, N, H, W] bool;
- `camera_pose` [B, N, 4, 4] float32, view to the main car's frame, metres; the identity in padding;
- `present` [B, N] bool; view 0 always is; `full`, whether all are, known without asking the device;
- `car` [B, N] int64, which of the sample's cars a view belongs to;
- `rays` [H, W, 3] or [B, N, H, W, 3] float32 unit, camera axes; `solid_angle` [H, W] or
  [B, N, H, W] float32 steradians;
- `synthetic` [B] bool; `rows` [B, N] int64, numbers of the stage's rows, -1 in padding.

With `samples.views: cameras` a view is a picture and N counts pictures; `car_from_view` is added.
With `fused_cameras` the cars' pictures are added (`camera_samples`), and the panoramas' own pixels
are kept for whoever looks, never for the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal_multicar.cooperation.views import RGB_MEAN, RGB_STD
from gimbal_vision.multiview.camera_views import CameraViews
from gimbal_vision.multiview.views import Truth, Views
from gimbal_vision.poses import matrix_to_quaternion

Piece = Mapping[str, Any]


def as_tensors(piece: Piece, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return what `fetch` gave as tensors on a device."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).to(device)
        if isinstance(value, np.ndarray)
        else value
        for name, value in piece.items()
    }


def views_of(batch: Piece, dtype: torch.dtype = torch.float32) -> Views:
    """Return what a model may see; which of the geometry it is told is decided by `InputUse`."""
    range_m, pose = batch["range_m"].to(dtype), batch["camera_pose"].to(dtype)
    told: dict[str, Any] = {
        "present": None if batch["full"] else batch["present"],
        "ray_directions_cam": _rays(batch, dtype).expand(*range_m.shape, 3),
        "depth_along_ray": range_m[..., None],
        "camera_pose_quats": matrix_to_quaternion(pose[..., :3, :3]),
        "camera_pose_trans": pose[..., :3, 3],
        "agent": batch["car"] if "car_from_view" in batch else None,
    }
    if "camera_rgb" in batch:
        canvas = range_m.new_zeros(()).expand(*range_m.shape[:2], 3, *range_m.shape[2:])
        return CameraViews(
            img=canvas,
            camera_img=normalised(batch["camera_rgb"], dtype),
            camera_present=batch["camera_present"],
            camera_intrinsics=batch["camera_intrinsics"].to(dtype),
            view_from_camera=batch["view_from_camera"].to(dtype),
            **told,
        )
    return Views(img=normalised(batch["rgb"], dtype), **told)


def truth_of(batch: Piece, dtype: torch.dtype = torch.float32) -> Truth:
    """Return what a model is to say."""
    range_m, rays = batch["range_m"].to(dtype)[..., None], _rays(batch, dtype)
    return Truth(
        camera_pose=batch["camera_pose"].to(dtype),
        pts3d_cam=range_m * rays,
        ray_directions_cam=rays,
        depth_along_ray=range_m,
        valid_mask=batch["valid"],
        non_ambiguous_mask=batch["non_ambiguous"],
        present=batch["present"],
        is_metric_scale=torch.ones_like(batch["synthetic"]),
        is_synthetic=batch["synthetic"],
        solid_angle=batch["solid_angle"].to(dtype),
    )


def normalised(rgb: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return [..., 3, H, W] of sRGB bytes [..., H, W, 3], with DINOv2's mean and deviation."""
    scale = torch.as_tensor(1.0 / (255.0 * RGB_STD), dtype=dtype, device=rgb.device)
    offset = torch.as_tensor(RGB_MEAN / RGB_STD, dtype=dtype, device=rgb.device)
    return (rgb.to(dtype) * scale - offset).movedim(-1, -3)


def _rays(batch: Piece, dtype: torch.dtype) -> Tensor:
    rays: Tensor = batch["rays"]
    return rays.to(dtype)
