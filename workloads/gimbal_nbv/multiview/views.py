"""What the multi-view model is shown: pictures, rays, ranges and poses of depth images.

The picture is shaded from the depth itself, as a lamp beside the camera would show it, and never
the stored rendering. So the network meets in every use (a rollout on one mesh, a view that training
renders anew, noisy depth) the kind of picture it was trained on, and a run need not keep colours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gimbal_vision.multiview.views import Truth, Views
from gimbal_vision.poses import matrix_to_quaternion

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours the contract's images are normalised by."""


def views_of(
    depths: Tensor, poses: Tensor, intrinsics: Tensor, size: int, present: Tensor | None = None
) -> Views:
    """Describe views to the model; differentiable in `poses`.

    Args:
        depths: z-depth [B,N,H,W] in diagonals, 0 where nothing was hit.
        poses: Declared cam2world [B,N,4,4], OpenCV axes.
        intrinsics: [B,N,3,3] in pixels, pixel centres at +.5.
        size: Side S of the images the model sees.
        present: bool [B,N]; all are if None.

    Returns:
        Views of S x S pixels: those of the images nearest to such a grid, each with its own ray, so
        no depth is averaged.
    """
    depth, local = sampled(depths, intrinsics, size)
    depth, local = depth.to(poses), local.to(poses)
    length = local.norm(dim=-1, keepdim=True)
    return Views(
        img=_picture(depth, local),
        present=present,
        ray_directions_cam=local / length,
        depth_along_ray=depth[..., None] * length,
        camera_pose_quats=matrix_to_quaternion(poses[..., :3, :3]),
        camera_pose_trans=poses[..., :3, 3],
        is_metric_scale=torch.ones(len(depths), dtype=torch.bool, device=poses.device),
    )


def truth_of(views: Views, poses: Tensor, present: Tensor) -> Truth:
    """Return what views really are, where their declared geometry is true.

    Args:
        views: Of `views_of`.
        poses: cam2world [B,N,4,4].
        present: bool [B,N].
    """
    rays, ranges = views.ray_directions_cam, views.depth_along_ray
    if rays is None or ranges is None:
        raise TypeError("views without rays and ranges")
    hit = (ranges[..., 0] > 0) & present[..., None, None]
    every = torch.ones(len(hit), dtype=torch.bool, device=hit.device)
    return Truth(
        camera_pose=poses,
        pts3d_cam=rays * ranges,
        ray_directions_cam=rays,
        depth_along_ray=ranges,
        valid_mask=hit,
        non_ambiguous_mask=hit,
        present=present,
        is_metric_scale=every,
        is_synthetic=every,
    )


def sampled(depths: Tensor, intrinsics: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Take the pixels nearest to a grid of S x S.

    Args:
        depths: [B,N,H,W].
        intrinsics: [B,N,3,3] in pixels, pixel centres at +.5.
        size: Side S.

    Returns:
        Depth [B,N,S,S] without anything that is not finite, and the rays of these pixels
        [B,N,S,S,3] with z = 1, in camera axes.
    """
    rows, columns = (
        ((torch.arange(size, device=depths.device) + 0.5) * side / size).long()
        for side in depths.shape[-2:]
    )
    depth = depths.detach()[..., rows[:, None], columns]
    depth = torch.where(torch.isfinite(depth) & (depth > 0), depth, torch.zeros_like(depth))
    K = intrinsics[..., None, None, :, :]
    x = (columns + 0.5 - K[..., 0, 2]) / K[..., 0, 0]
    y = (rows[:, None] + 0.5 - K[..., 1, 2]) / K[..., 1, 1]
    x, y = x.expand_as(depth), y.expand_as(depth)
    return depth, torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _picture(depth: Tensor, local: Tensor) -> Tensor:
    """Return pictures [B,N,3,S,S] shaded by |cos| between ray and surface, normalised."""
    points = local * depth[..., None]
    normal = normals_of(points, depth > 0)
    shade = (normal * normalize(local, dim=-1)).sum(-1).abs()
    colours = shade[..., None, :, :].expand(*shade.shape[:-2], 3, *shade.shape[-2:])
    mean, deviation = (shade.new_tensor(x)[:, None, None] for x in (_MEAN, _DEVIATION))
    return (colours - mean) / deviation


def normals_of(points: Tensor, hit: Tensor) -> Tensor:
    """Return unit normals of point maps [...,S,S,3] towards the camera; 0 where not measured.

    They come from the differences to the right and the lower neighbour, where all three hit.

    Args:
        points: [...,S,S,3] in OpenCV camera axes, or in any frame turned from them.
        hit: bool [...,S,S].
    """
    right = points[..., :-1, 1:, :] - points[..., :-1, :-1, :]
    down = points[..., 1:, :-1, :] - points[..., :-1, :-1, :]
    three = hit[..., :-1, :-1] & hit[..., :-1, 1:] & hit[..., 1:, :-1]
    unit = normalize(torch.linalg.cross(down, right), dim=-1, eps=1e-12)
    inner = torch.where(three[..., None], unit, torch.zeros_like(unit))
    return torch.nn.functional.pad(inner, (0, 0, 0, 1, 0, 1))
