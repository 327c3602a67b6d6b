"""The blind twin: what a network of the same kind says that is shown no image.

Each view is one constant learned token, so it knows how many cars there are and which is the main
one, and nothing they see. What it reaches, the images did not. It is small, for it has little to
learn, and learns from cars as they stand, never turned: turning would make the control weaker than
it need be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.pose_head import PoseHead
from gimbal_vision.multiview.scale_head import ScaleHead
from gimbal_vision.multiview.shape import TINY
from gimbal_vision.multiview.trunk import Trunk

TWIN = replace(TINY, encoder_dim=64, dim=64, layers=2, heads=2, taps=(0, 1), pose_hidden=64)
PREFIX = "blind/"
"""Before the names of the twin's loss terms."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BlindPoses:
    """What the twin says.

    Attributes:
        cam_trans: [B, N, 3] in view 0's frame, metres.
        cam_quats: [B, N, 4] unit (x, y, z, w), camera to view 0.
    """

    cam_trans: Tensor
    cam_quats: Tensor


class BlindTwin(nn.Module):
    """The trunk and the heads of poses and scale, small, over constant tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(TWIN.encoder_dim))
        self.trunk = Trunk(TWIN)
        self.pose_head = PoseHead(TWIN)
        self.scale_head = ScaleHead(TWIN.dim)

    def forward(self, present: Tensor) -> BlindPoses:
        """Return poses of [B, N] views, of which some may be padding."""
        tokens = self.token.expand(*present.shape, 1, -1)
        with torch.autocast(tokens.device.type, enabled=False):
            features = self.trunk(tokens, present)
            trans, quats = self.pose_head(features.tokens)
            scale = self.scale_head(features.scale)
        return BlindPoses(cam_trans=trans * scale[:, None], cam_quats=quats)
