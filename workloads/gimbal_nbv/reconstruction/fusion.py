"""Depth fusion in torch: unprojected pixels, differentiable in the poses they are declared to have.

Points are joined, never averaged: which pixels count depends on depth alone, so the number of
points does not change with a pose and the gradient is that of a rigid motion of each view's patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.reconstruction.base import SurfacePoints


@dataclass(frozen=True, kw_only=True)
class DepthFusion:
    """The union of all measured pixels.

    Attributes:
        stride: Take every so many-th pixel of every so many-th row.
        name: Name in configs and tables.
    """

    stride: int = 1
    name: str = "depth_fusion"

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise PolicyError(
                f"a stride of {self.stride} pixels visits no pixel", "give a stride of at least 1"
            )

    def reconstruct(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> SurfacePoints:
        """Return the world points of all measured pixels, view after view, row after row.

        They are on the poses' device and in their float type.

        Args:
            depths: z-depth [N,H,W] in world units; 0 or non-finite where nothing was hit.
            poses: Declared cam2world [N,4,4], OpenCV axes; gradients flow to these.
            intrinsics: [N,3,3] in pixels, pixel centres at +.5.
        """
        clouds = [
            self._points(depth, pose, K)
            for depth, pose, K in zip(depths, poses, intrinsics, strict=True)
        ]
        return SurfacePoints(points=torch.cat(clouds))

    def _points(self, depth: Tensor, pose: Tensor, K: Tensor) -> Tensor:
        sampled = depth.detach()[:: self.stride, :: self.stride].to(pose)
        K = K.to(pose)
        row, column = torch.nonzero(sampled.isfinite() & (sampled > 0), as_tuple=True)
        z = sampled[row, column]
        u = column.to(pose.dtype) * self.stride + 0.5
        v = row.to(pose.dtype) * self.stride + 0.5
        x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
        camera = torch.stack([x * z, y * z, z], dim=-1)
        return camera @ pose[:3, :3].T + pose[:3, 3]


def decimated(depths: Tensor, intrinsics: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Keep every `stride`-th pixel of every `stride`-th row, exactly.

    No depth is averaged; the pixels kept become those of a smaller camera whose principal point is
    moved so that each keeps its ray.

    Args:
        depths: [...,H,W].
        intrinsics: [...,3,3] in pixels, pixel centres at +.5.
        stride: At least 1.

    Returns:
        Depths [..., ceil(H/stride), ceil(W/stride)] and their intrinsics [...,3,3].
    """
    K = intrinsics.clone()
    K[..., :2, :2] = intrinsics[..., :2, :2] / stride
    K[..., :2, 2] = (intrinsics[..., :2, 2] - 0.5) / stride + 0.5
    return depths[..., ::stride, ::stride], K
