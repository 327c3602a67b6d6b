"""Random truths and predictions of cars that see panoramas, for the tests of the losses."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from gimbal_vision.cameras import Equirectangular
from gimbal_vision.multiview.views import Predictions, Truth
from gimbal_vision.poses import make_pose, matrix_to_quaternion, quaternion_to_matrix, relative_pose

Batch = TypeVar("Batch", Truth, Predictions)

SHAPE = (3, 3, 9, 12)
"""Samples, views, rows, columns."""


def random_truth(
    shape: tuple[int, int, int, int] = SHAPE, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Truth:
    """Return a truth with holes; samples alternate between synthetic and real."""
    batch, views, height, width = shape
    g = torch.Generator().manual_seed(seed)

    def uniform(*size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*size, generator=g, dtype=torch.float64)

    camera = Equirectangular.from_vfov(height=height, width=width, vfov_deg=60.0)
    rays = torch.from_numpy(camera.rays())
    mask = uniform(batch, views, height, width) < 0.8
    valid = mask & (uniform(batch, views, height, width) < 0.8)
    depth = uniform(batch, views, height, width, 1, low=2.0, high=40.0) * valid[..., None]
    quats = torch.randn(batch, views, 4, generator=g, dtype=torch.float64)
    places = uniform(batch, views, 3, low=-30.0, high=30.0)
    return cast(
        Truth(
            camera_pose=make_pose(quaternion_to_matrix(quats), places),
            pts3d_cam=depth * rays,
            ray_directions_cam=rays,
            depth_along_ray=depth,
            valid_mask=valid,
            non_ambiguous_mask=mask,
            present=torch.ones(batch, views, dtype=torch.bool),
            is_metric_scale=torch.ones(batch, dtype=torch.bool),
            is_synthetic=torch.arange(batch) % 2 == 0,
            solid_angle=torch.from_numpy(camera.solid_angle()),
        ),
        dtype,
    )


def perfect(truth: Truth, scale: float = 7.0) -> Predictions:
    """Return predictions that say the truth, wherever it is known."""
    pose = relative_pose(truth.camera_pose[:, :1], truth.camera_pose)
    rays = truth.ray_directions_cam.expand(truth.pts3d_cam.shape)
    rotated = torch.einsum("bnij,bnhwj->bnhwi", pose[..., :3, :3], truth.pts3d_cam)
    m = torch.full((len(pose), 1), scale, dtype=pose.dtype)
    return Predictions(
        pts3d=rotated + pose[..., None, None, :3, 3],
        pts3d_cam=truth.pts3d_cam,
        ray_directions=rays,
        depth_along_ray=truth.depth_along_ray,
        cam_trans=pose[..., :3, 3],
        cam_quats=matrix_to_quaternion(pose[..., :3, :3]),
        metric_scaling_factor=m,
        conf=torch.ones_like(rays[..., 0]),
        non_ambiguous_mask_logits=torch.where(truth.non_ambiguous_mask, 30.0, -30.0).to(pose),
    )


def random_factors(truth: Truth, seed: int = 1, noise: float = 0.2) -> dict[str, Tensor]:
    """Return what a model's heads might say of the truth: factors with noise, without scale."""
    g = torch.Generator().manual_seed(seed)
    right = perfect(truth)

    def noisy(values: Tensor, by: float = noise) -> Tensor:
        drawn = torch.randn(values.shape, generator=g, dtype=torch.float64)
        return (values + by * drawn.to(values)).detach()

    log_range = torch.where(truth.valid_mask, truth.depth_along_ray[..., 0] / 10.0, 1.0).log()
    return {
        "rays": noisy(right.ray_directions, 0.1),
        "log_depth": noisy(log_range),
        "trans": noisy(right.cam_trans / 10.0),
        "quats": noisy(right.cam_quats),
        "log_conf": noisy(torch.zeros_like(log_range), 1.0),
        "logits": noisy(torch.zeros_like(log_range), 2.0),
        "log_scale": noisy(torch.full_like(right.metric_scaling_factor, 2.2)),
    }


def compose(factors: dict[str, Tensor]) -> Predictions:
    """Return the predictions the factors make, differentiable (multicar.md A5)."""
    rays = torch.nn.functional.normalize(factors["rays"], dim=-1)
    quats = torch.nn.functional.normalize(factors["quats"], dim=-1)
    m = factors["log_scale"].exp()
    depth = factors["log_depth"].exp()[..., None] * m[:, :, None, None, None]
    trans = factors["trans"] * m[:, :, None]
    cam = rays * depth
    world = torch.einsum("bnij,bnhwj->bnhwi", quaternion_to_matrix(quats), cam)
    return Predictions(
        pts3d=world + trans[:, :, None, None],
        pts3d_cam=cam,
        ray_directions=rays,
        depth_along_ray=depth,
        cam_trans=trans,
        cam_quats=quats,
        metric_scaling_factor=m,
        conf=1.0 + factors["log_conf"].exp(),
        non_ambiguous_mask_logits=factors["logits"],
    )


def random_predictions(truth: Truth, seed: int = 1, noise: float = 0.2) -> Predictions:
    """Return noisy predictions of the truth."""
    return compose(random_factors(truth, seed, noise))


def select(batch: Batch, samples: Tensor | slice) -> Batch:
    """Return some samples of a batch; what all share stays."""
    shared = {"ray_directions_cam", "solid_angle"}
    return replace(
        batch,
        **{
            field.name: getattr(batch, field.name)[samples]
            for field in fields(batch)
            if field.name not in shared and getattr(batch, field.name) is not None
        },
    )


def select_views(batch: Batch, views: Tensor) -> Batch:
    """Return a batch with its views in another order."""
    shared = {
        "ray_directions_cam", "solid_angle", "is_metric_scale", "is_synthetic",
        "metric_scaling_factor",
    }  # fmt: skip
    return replace(
        batch,
        **{
            field.name: getattr(batch, field.name)[:, views]
            for field in fields(batch)
            if field.name not in shared and getattr(batch, field.name) is not None
        },
    )


def cast(batch: Batch, dtype: torch.dtype) -> Batch:
    """Return a batch with its numbers in another precision."""
    return replace(
        batch,
        **{
            field.name: getattr(batch, field.name).to(dtype)
            for field in fields(batch)
            if getattr(batch, field.name) is not None
            and getattr(batch, field.name).is_floating_point()
        },
    )
