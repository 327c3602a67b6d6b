"""A multi-view model small enough for tests, and views to show it."""

from __future__ import annotations

from dataclasses import replace

import torch

from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.shape import TINY, ModelShape
from gimbal_vision.multiview.views import InputUse, Predictions, Views

MINI = replace(
    TINY,
    patch=4,
    encoder_dim=16,
    encoder_layers=1,
    encoder_heads=2,
    dim=24,
    layers=4,
    heads=2,
    taps=(1, 2),
    dense_dim=4,
    geometric_dims=(8, 8, 8),
    pose_hidden=16,
    pose_head="pooled",
)


def small_model(shape: ModelShape = MINI, dtype: torch.dtype = torch.float64) -> MultiViewModel:
    """Return a model in evaluation mode; always the same one."""
    torch.manual_seed(0)
    return MultiViewModel(shape).to(dtype).eval()


def some_views(
    batch: int = 2,
    count: int = 3,
    size: tuple[int, int] = (8, 16),
    dtype: torch.dtype = torch.float64,
) -> Views:
    """Return views with all geometry known."""
    torch.manual_seed(1)
    rays = torch.randn(batch, count, *size, 3, dtype=dtype)
    return Views(
        img=torch.randn(batch, count, 3, *size, dtype=dtype),
        ray_directions_cam=rays / rays.norm(dim=-1, keepdim=True),
        depth_along_ray=torch.rand(batch, count, *size, 1, dtype=dtype) * 20 - 4,
        camera_pose_quats=torch.randn(batch, count, 4, dtype=dtype),
        camera_pose_trans=10 * torch.randn(batch, count, 3, dtype=dtype),
    )


def use_of(views: Views, used: bool = True) -> InputUse:
    """Return the use of everything, or of nothing."""
    there = torch.full(views.img.shape[:2], used)
    told = there[:, 0]
    return InputUse(
        rays=there, depth=there, pose=there, depth_scale=told, pose_scale=told, sparse_depth=~told
    )


def pick(views: Views, samples: slice, order: list[int]) -> Views:
    """Return some samples with their views in another order."""
    return replace(
        views,
        **{
            name: value[samples][:, order] if value.ndim > 1 else value[samples]
            for name, value in vars(views).items()
            if value is not None
        },
    )


def apart(
    first: Predictions,
    second: Predictions,
    samples: slice = slice(None),
    order: list[int] | None = None,
) -> float:
    """Return the largest difference of any prediction, `first`'s views taken in `order`."""
    worst = 0.0
    for name, value in vars(second).items():
        if value is None:
            continue
        mine = getattr(first, name)[samples].detach()
        if order is not None and name != "metric_scaling_factor":
            mine = mine[:, order]
        worst = max(worst, float((mine - value.detach()).abs().max()))
    return worst
