"""Does a soft silhouette's gradient say where to move? Only PyTorch3D can answer here.

A rasteriser that blurs too little gives no gradient at outlines, one that blurs too much a wrong
one. A ball is rendered softly beside its place, and the slope of the squared difference along that
offset is compared with central differences of the same soft images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes.primitives import ellipsoid
from gimbal_vision.rendering import BACKENDS

Silhouettes = Callable[[Tensor], Tensor]
"""Poses cam2world [1,4,4] to soft coverage [1,H,W]."""

_OFFSET = 0.05
_STEP = 2e-3
_IMAGE = 48


def slope_ratio(silhouettes: Silhouettes, pose: Tensor) -> float:
    """Return autograd's slope over that of central differences; 1 is right, 0 a dead gradient.

    Args:
        silhouettes: The soft renderer.
        pose: cam2world [4,4] of a view in which the object is whole.
    """
    target = silhouettes(pose[None]).detach()

    def loss(offset: Tensor) -> Tensor:
        moved = pose.clone()
        moved[:3, 3] = pose[:3, 3] + offset * pose[:3, 0]
        return (silhouettes(moved[None]) - target).square().mean()

    at = torch.tensor(_OFFSET, dtype=pose.dtype, requires_grad=True)
    value = loss(at)
    if not value.requires_grad:
        return 0.0
    (slope,) = torch.autograd.grad(value, at)
    with torch.no_grad():
        beside = [loss(at.detach() + sign * _STEP) for sign in (1.0, -1.0)]
    expected = float(beside[0] - beside[1]) / (2 * _STEP)
    return float(slope) / expected if expected and math.isfinite(float(slope)) else 0.0


def pytorch3d_slope_ratio(protocol: SphereProtocol) -> float | None:
    """Return `slope_ratio` of PyTorch3D's soft silhouettes, None where it is not installed."""
    if not BACKENDS["pytorch3d"].installed:
        return None
    from gimbal_vision.rendering.pytorch3d_backend import soft_silhouettes

    ball = ellipsoid((0.3, 0.3, 0.3))
    vertices = torch.from_numpy(np.asarray(ball.vertices, np.float32))
    faces = torch.from_numpy(np.asarray(ball.faces, np.int64))
    cameras = protocol.cameras_of(_IMAGE)
    K = torch.from_numpy(cameras.K[:1].astype(np.float32))
    pose = torch.from_numpy(cameras.cam2world[protocol.views // 2].astype(np.float32))

    def rendered(poses: Tensor) -> Tensor:
        return soft_silhouettes(vertices, faces, K, poses, (_IMAGE, _IMAGE))

    return slope_ratio(rendered, pose)


REMEDY = BACKENDS["pytorch3d"].remedy
"""How to get what the check needs."""
