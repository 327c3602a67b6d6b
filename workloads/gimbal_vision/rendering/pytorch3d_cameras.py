"""Our cameras in PyTorch3D's convention.

PyTorch3D's camera looks along +z with x to the *left* and y *up*, and multiplies row vectors:
X_camera = X_world R + T. With S = diag(-1, -1, 1), R = R_cam2world S and T = -eye R. In screen
space its pixel centres lie at +.5 as ours do, so K needs no half-pixel correction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PyTorch3dArguments(NamedTuple):
    """Arguments of `PerspectiveCameras(..., in_ndc=False)`; (x, y) and (H, W) order as it wants.

    Attributes:
        R: [N, 3, 3] rotation for row vectors.
        T: [N, 3] translation.
        focal_length: [N, 2] pixels, (fx, fy).
        principal_point: [N, 2] pixels, (cx, cy).
        image_size: [N, 2] (H, W).
    """

    R: Tensor
    T: Tensor
    focal_length: Tensor
    principal_point: Tensor
    image_size: Tensor


def pytorch3d_arguments(
    K: Tensor, cam2world: Tensor, height: int, width: int
) -> PyTorch3dArguments:
    """Convert OpenCV cameras; gradients flow through.

    Args:
        K: [N, 3, 3] intrinsics, pixel centres at +.5.
        cam2world: [N, 4, 4].
        height: Image height in pixels.
        width: Image width in pixels.
    """
    R = cam2world[:, :3, :3] * cam2world.new_tensor([-1.0, -1.0, 1.0])
    T = -(cam2world[:, None, :3, 3] @ R)[:, 0]
    return PyTorch3dArguments(
        R=R,
        T=T,
        focal_length=torch.stack([K[:, 0, 0], K[:, 1, 1]], dim=-1),
        principal_point=K[:, :2, 2],
        image_size=K.new_tensor([[height, width]]).expand(len(K), 2),
    )
