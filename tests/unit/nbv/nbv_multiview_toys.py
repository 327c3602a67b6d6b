"""A tiny multi-view model, one that is never wrong, and views to show them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from gimbal_nbv.building import render_depth
from gimbal_nbv.multiview.network import build_network
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape
from gimbal_vision.meshes import normalise
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.views import InputUse, Predictions, Views
from gimbal_vision.poses import make_pose, quaternion_to_matrix, relative_pose, transform_points

TINY = {
    "image_size": 16,
    "patch": 4,
    "encoder_dim": 16,
    "encoder_layers": 1,
    "encoder_heads": 2,
    "dim": 16,
    "layers": 3,
    "heads": 2,
    "dense_dim": 8,
    "per_object": 2,
    "longest": 3,
    "objects": 1,
}
SETTINGS = MultiviewSettings.model_validate(
    {**TINY, "train": {"steps": 2, "global_batch": 2, "warmup_steps": 0}}
)


def tiny_model(seed: int = 0) -> MultiViewModel:
    torch.manual_seed(seed)
    return build_network(SETTINGS).eval()


def mug_images(protocol: SphereProtocol) -> ViewImages:
    return ViewImages.of(render_depth(normalise(make_shape("mug", 3)), protocol), protocol)


def chosen(images: ViewImages, sets: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Return depth, poses and intrinsics of view sets [B,N]."""
    return (
        torch.from_numpy(images.depth[sets]),
        torch.from_numpy(images.cam2world[sets].astype(np.float32)),
        torch.from_numpy(images.K[sets].astype(np.float32)),
    )


class Perfect(nn.Module):
    """Answers with the geometry it is given: whoever uses it wrongly gets wrong points."""

    def __init__(self, patch: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.trunk = _Trunk(patch)

    def forward(self, views: Views, use: InputUse | None = None) -> Predictions:
        assert use is not None and bool(use.depth.all() and use.pose.all() and use.rays.all())
        self.trunk(views.img)
        rays, ranges = views.ray_directions_cam, views.depth_along_ray
        quats, trans = views.camera_pose_quats, views.camera_pose_trans
        assert rays is not None and ranges is not None and quats is not None and trans is not None
        poses = make_pose(quaternion_to_matrix(quats), trans)
        first = relative_pose(poses[:, :1], poses)
        cam = rays * ranges
        points = transform_points(first, cam.flatten(2, 3)).reshape(cam.shape)
        return Predictions(
            pts3d=points,
            pts3d_cam=cam,
            ray_directions=rays,
            depth_along_ray=ranges,
            cam_trans=first[..., :3, 3],
            cam_quats=quats,
            metric_scaling_factor=torch.ones(len(cam), 1),
            conf=torch.ones_like(ranges[..., 0]),
            non_ambiguous_mask_logits=torch.where(ranges[..., 0] > 0, 1.0, -1.0),
        )


class _Trunk(nn.Module):
    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, img: Tensor) -> SimpleNamespace:
        batch, views, _, side, _ = img.shape
        return SimpleNamespace(tokens=torch.zeros(batch, views, (side // self.patch) ** 2, 16))
