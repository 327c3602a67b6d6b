"""The truth as the losses use it: in view 0's frame, with what counts and how much.

Whatever is counted is decided here from the truth alone, never from a prediction, so that counts
are known before the model has run. A sample without any known range takes no part in what is
divided by its normaliser; no stand-in for it is invented.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.scene import Scene, planes_of, scene_of
from gimbal_vision.multiview.precision import full
from gimbal_vision.multiview.views import Truth
from gimbal_vision.poses import matrix_to_quaternion, relative_pose


class Target:
    """One batch's truth; what is not asked for is not computed.

    Args:
        truth: As the data gives it.
        solid_angle: Weigh pixels by `truth.solid_angle`, where there is one, over its mean in the
            image, so that an image weighs what its number of pixels does.
    """

    def __init__(self, truth: Truth, *, solid_angle: bool = True) -> None:
        self.truth = truth
        self.present = truth.present
        self.metric = truth.is_metric_scale
        self.synthetic = truth.is_synthetic
        self._solid_angle = truth.solid_angle if solid_angle else None

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of all sums and counts: float32, or float64 if the truth is."""
        return full(self.truth.depth_along_ray).dtype

    @cached_property
    def valid(self) -> Tensor:
        """[B, N, H, W] bool: the range is known, in a view that is there."""
        return self.truth.valid_mask & self.present[..., None, None]

    @cached_property
    def ambiguity_free(self) -> Tensor:
        """[B, N, H, W] bool: covered and not sky, in a view that is there."""
        return self.truth.non_ambiguous_mask & self.present[..., None, None]

    @cached_property
    def has_known(self) -> Tensor:
        """[B] bool: the sample knows any range, so its normaliser is defined."""
        return self.valid.any(-1).any(-1).any(-1)

    @cached_property
    def shown(self) -> Tensor:
        """[B, N, H, W] 1 where the view is there, else 0."""
        return self.present.to(self.dtype)[..., None, None].expand(self.valid.shape)

    @cached_property
    def known(self) -> Tensor:
        """[B, N, H, W] 1 where the range is known, else 0."""
        return self.valid.to(self.dtype)

    @cached_property
    def weight(self) -> Tensor:
        """[B, N, H, W] weight of every pixel; 0 in views that are not there."""
        if self._solid_angle is None:
            return self.shown
        angle = self._solid_angle.to(self.dtype)
        return angle / angle.mean((-2, -1), keepdim=True) * self.shown

    @cached_property
    def known_weight(self) -> Tensor:
        """[B, N, H, W] weight of every pixel whose range is known."""
        return self.weight * self.known

    @cached_property
    def metric_weight(self) -> Tensor:
        """[B, N, H, W] the same in samples whose lengths are metres."""
        return self.known_weight * self.metric[:, None, None, None]

    @cached_property
    def pose(self) -> Tensor:
        """[B, N, 4, 4] camera to view 0; the identity for view 0 and views that are not there."""
        world_from_camera = full(self.truth.camera_pose)
        identity = torch.eye(4, dtype=world_from_camera.dtype, device=world_from_camera.device)
        pose = relative_pose(world_from_camera[:, :1], world_from_camera)
        moved = self.present[..., None, None].clone()
        moved[:, 0] = False
        return torch.where(moved, pose, identity).to(self.dtype)

    @cached_property
    def quats(self) -> Tensor:
        """[B, N, 4] rotations of `pose` (x, y, z, w)."""
        return matrix_to_quaternion(self.pose[..., :3, :3])

    @cached_property
    def trans(self) -> Tensor:
        """[B, N, 3] translations of `pose`, metres."""
        return self.pose[..., :3, 3]

    @cached_property
    def scene(self) -> Scene:
        """All geometry, metres."""
        cam = planes_of(full(self.truth.pts3d_cam))
        world = torch.einsum("bnij,jbnhw->ibnhw", self.pose[..., :3, :3], cam)
        return scene_of(
            world + self.trans.movedim(-1, 0)[..., None, None],
            cam,
            full(self.truth.depth_along_ray)[..., 0],
            planes_of(full(self.truth.ray_directions_cam)),
            self.known,
        )

    @cached_property
    def others(self) -> Tensor:
        """[B, N] 1 for views that are there and are not view 0, else 0."""
        others = self.present.to(self.dtype, copy=True)
        others[:, 0] = 0.0
        return others

    @cached_property
    def placed(self) -> Tensor:
        """[B] bool: translations count, since the normaliser saw every view it should have.

        A view in which something unambiguous is seen but no range is known leaves the normaliser
        to the other views; one that sees nothing but sky has no range to miss.
        """
        seen = self.ambiguity_free.flatten(2).any(-1)
        known = self.valid.flatten(2).any(-1)
        return self.has_known & ~(seen & ~known).any(-1)

    @cached_property
    def scaled(self) -> Tensor:
        """[B] 1 where the metric scale is known, else 0."""
        return (self.metric & self.has_known).to(self.dtype)
