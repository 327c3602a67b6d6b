"""A learned correction of told poses: GPS is off, and perhaps not at random.

It starts as no correction at all, exactly. What the images say against a told pose is for the trunk
to weigh; this can only learn what a pose alone betrays, such as a bias that grows with distance.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.views import Views
from gimbal_vision.poses import multiply_quaternions, normalise_quaternion, quaternion_to_matrix

POSE_NUMBERS = 8


class PosePriorCorrection(nn.Module):
    """Corrects each view's pose by what it looks like from view 0, which stays as it is.

    Args:
        hidden: Width of the MLP.
    """

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            first, second = nn.Linear(POSE_NUMBERS, hidden), nn.Linear(hidden, hidden)
            last = nn.Linear(hidden, 6)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(first, nn.GELU(), second, nn.GELU(), last)

    def forward(self, views: Views) -> Views:
        """Return the views with corrected poses; without poses, as they are.

        Args:
            views: `camera_pose_quats` and `camera_pose_trans` in any world, metres.
        """
        quats, trans = views.camera_pose_quats, views.camera_pose_trans
        if quats is None or trans is None:
            return views
        turn, metres = self.layers(_seen_from_first(quats, trans)).split(3, dim=-1)
        others = torch.ones_like(trans[..., :1])
        others[:, 0] = 0.0
        step = torch.cat([turn * others / 2, torch.ones_like(others)], dim=-1)
        moved = (metres * others) @ quaternion_to_matrix(quats[:, 0]).mT
        return replace(
            views,
            camera_pose_quats=multiply_quaternions(quats, normalise_quaternion(step)),
            camera_pose_trans=trans + moved,
        )


def _seen_from_first(quats: Tensor, trans: Tensor) -> Tensor:
    """Return [B, N, POSE_NUMBERS]: rotation, direction and logarithm of the distance."""
    inverse = quats[:, :1] * quats.new_tensor([-1.0, -1.0, -1.0, 1.0])
    offset = (trans - trans[:, :1]) @ quaternion_to_matrix(quats[:, 0])
    distance = torch.sqrt(offset.square().sum(-1, keepdim=True) + 1e-6)
    turn = normalise_quaternion(multiply_quaternions(inverse, quats))
    return torch.cat([turn, offset / distance, distance.log1p()], dim=-1)
