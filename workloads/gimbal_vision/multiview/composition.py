"""From the heads' factors to metric points: X_cam = m r d, X_view0 = m (R(q) r d + t)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gimbal_vision.multiview.matching import Matches
from gimbal_vision.multiview.views import Predictions
from gimbal_vision.poses import quaternion_to_matrix


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors:
    """What the heads say, lengths still without scale.

    Attributes:
        rays: [B, N, H, W, 3] unit.
        depth: [B, N, H, W, 1] along the ray, positive.
        conf: [B, N, H, W], at least 1.
        mask_logits: [B, N, H, W].
        translation: [B, N, 3].
        quaternion: [B, N, 4] unit (x, y, z, w).
        scale: [B, 1] metres per unit.
        matches: See `Predictions`.
    """

    rays: Tensor
    depth: Tensor
    conf: Tensor
    mask_logits: Tensor
    translation: Tensor
    quaternion: Tensor
    scale: Tensor
    matches: Matches | None = None


def compose_predictions(factors: Factors) -> Predictions:
    """Return metric predictions; rays and quaternions have no length to scale."""
    metres = factors.scale[:, :, None]
    depth = factors.depth * metres[..., None, None]
    trans = factors.translation * metres
    local = factors.rays * depth
    rotation = quaternion_to_matrix(factors.quaternion)
    turned = (local.flatten(2, 3) @ rotation.mT).view_as(local)
    return Predictions(
        pts3d=turned + trans[:, :, None, None],
        pts3d_cam=local,
        ray_directions=factors.rays,
        depth_along_ray=depth,
        cam_trans=trans,
        cam_quats=factors.quaternion,
        metric_scaling_factor=factors.scale,
        conf=factors.conf,
        non_ambiguous_mask_logits=factors.mask_logits,
        matches=factors.matches,
    )
