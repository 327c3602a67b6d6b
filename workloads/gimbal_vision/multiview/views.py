"""What goes into the multi-view model and what comes out, as tensors with axes [B, N, ...].

B samples of N views each; a sample with fewer views is padded and `present` says so. Names and
conventions are MapAnything's (multicar.md A3): OpenCV axes, camera-to-world, quaternions
(x, y, z, w), ranges along rays, never z-depths. `stack` and `unstack` go between this and that
family's list of dictionaries, one a view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from gimbal_vision.multiview.matching import Matches


@dataclass(frozen=True, eq=False, kw_only=True)
class Views:
    """Images and what is known of their geometry.

    Attributes:
        img: [B, N, 3, H, W] normalised by DINOv2's mean and deviation.
        present: [B, N] bool; view 0 is always there. None: all are.
        ray_directions_cam: [B, N, H, W, 3] unit, camera axes.
        depth_along_ray: [B, N, H, W, 1] metres, 0 where unknown.
        camera_pose_quats: [B, N, 4] (x, y, z, w), any world.
        camera_pose_trans: [B, N, 3] metres, any world.
        is_metric_scale: [B] bool, whether ranges and poses are in metres. None: they are.
        agent: [B, N] int64, place in the order of cars of the car a view belongs to; only read by a
            model with an agent embedding. None: each view is a car.
    """

    img: Tensor
    present: Tensor | None = None
    ray_directions_cam: Tensor | None = None
    depth_along_ray: Tensor | None = None
    camera_pose_quats: Tensor | None = None
    camera_pose_trans: Tensor | None = None
    is_metric_scale: Tensor | None = None
    agent: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class InputUse:
    """Which geometric inputs the model is given, drawn beforehand (`inputs.py`); see A4.

    Attributes:
        rays: [B, N] bool.
        depth: [B, N] bool.
        pose: [B, N] bool.
        depth_scale: [B] bool, whether the metric scale of ranges is told.
        pose_scale: [B] bool, likewise of translations.
        sparse_depth: [B] bool, whether nine of ten known pixels are withheld.
        sparse_key: [B] int64, decides which pixels are; None: none ever is.
    """

    rays: Tensor
    depth: Tensor
    pose: Tensor
    depth_scale: Tensor
    pose_scale: Tensor
    sparse_depth: Tensor
    sparse_key: Tensor | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What the model says, metric: everything with a length is multiplied by the scale.

    Attributes:
        pts3d: [B, N, H, W, 3] in view 0's frame.
        pts3d_cam: [B, N, H, W, 3] in each camera's axes.
        ray_directions: [B, N, H, W, 3] unit.
        depth_along_ray: [B, N, H, W, 1].
        cam_trans: [B, N, 3] in view 0's frame.
        cam_quats: [B, N, 4] unit (x, y, z, w), camera to view 0.
        metric_scaling_factor: [B, 1].
        conf: [B, N, H, W], at least 1.
        non_ambiguous_mask_logits: [B, N, H, W].
        matches: Descriptors of patches, from a pose head that matches.
    """

    pts3d: Tensor
    pts3d_cam: Tensor
    ray_directions: Tensor
    depth_along_ray: Tensor
    cam_trans: Tensor
    cam_quats: Tensor
    metric_scaling_factor: Tensor
    conf: Tensor
    non_ambiguous_mask_logits: Tensor
    matches: Matches | None = None

    @property
    def non_ambiguous_mask(self) -> Tensor:
        """[B, N, H, W] bool: whether the mask's probability exceeds one half."""
        return self.non_ambiguous_mask_logits > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """What a sample's views really are; what losses and metrics compare with.

    Attributes:
        camera_pose: [B, N, 4, 4] camera to any common world, metres.
        pts3d_cam: [B, N, H, W, 3] metres, camera axes; 0 where unknown.
        ray_directions_cam: [B, N, H, W, 3] unit, or [H, W, 3] where all views share one camera.
        depth_along_ray: [B, N, H, W, 1] metres, 0 where unknown.
        valid_mask: [B, N, H, W] bool: the range is known.
        non_ambiguous_mask: [B, N, H, W] bool: covered, and not sky.
        present: [B, N] bool.
        is_metric_scale: [B] bool.
        is_synthetic: [B] bool.
        solid_angle: [H, W] or [B, N, H, W] steradians of each pixel, or None: pixels count alike.
    """

    camera_pose: Tensor
    pts3d_cam: Tensor
    ray_directions_cam: Tensor
    depth_along_ray: Tensor
    valid_mask: Tensor
    non_ambiguous_mask: Tensor
    present: Tensor
    is_metric_scale: Tensor
    is_synthetic: Tensor
    solid_angle: Tensor | None = None
