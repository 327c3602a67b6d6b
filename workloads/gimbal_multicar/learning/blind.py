"""The blind twin: what a network of the same kind says that is shown no image.

Each view is one constant learned token, so it knows how many cars there are and which is the main
one, and nothing they see. What it reaches, the images did not. It is small, for it has little to
learn, and learns from cars as they stand, never turned: turning would make the control weaker than
it need be. Where views are a car's pictures its token says which picture it is and whether of the
main car: a constant may know how a rig is built, and one that did not would be too easily beaten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gimbal_vision.multiview.pose_head import PoseHead
from gimbal_vision.multiview.scale_head import ScaleHead
from gimbal_vision.multiview.shape import TINY
from gimbal_vision.multiview.trunk import Trunk

TWIN = replace(TINY, encoder_dim=64, dim=64, layers=2, heads=2, taps=(0, 1), pose_hidden=64)
BLIND_KEYS = ("present", "car", "place")
"""All of a batch that the twin may be told."""


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
    """The trunk and the heads of poses and scale, small, over constant tokens.

    Args:
        places: Pictures of a car that are views of their own; 1: a view is a car.
    """

    def __init__(self, places: int = 1) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(TWIN.encoder_dim))
        self.trunk = Trunk(TWIN)
        self.pose_head = PoseHead(TWIN)
        self.scale_head = ScaleHead(TWIN.dim)
        self.place = nn.Embedding(places, TWIN.encoder_dim) if places > 1 else None
        self.partner = nn.Embedding(2, TWIN.encoder_dim) if places > 1 else None

    def forward(self, present: Tensor, seats: Tensor | None = None) -> BlindPoses:
        """Return poses of [B, N] views, of which some may be padding.

        Args:
            present: [B, N] bool.
            seats: See `seats_of`; needed where a car has several places.
        """
        tokens = self.token.expand(*present.shape, 1, -1)
        if self.place is not None and self.partner is not None and seats is not None:
            place, partner = seats.unbind(-1)
            tokens = tokens + (self.place(place) + self.partner(partner))[:, :, None]
        with torch.autocast(tokens.device.type, enabled=False):
            features = self.trunk(tokens, present)
            trans, quats = self.pose_head(features.tokens)
            scale = self.scale_head(features.scale)
        return BlindPoses(cam_trans=trans * scale[:, None], cam_quats=quats)


def seats_of(batch: Mapping[str, Any]) -> Tensor | None:
    """Return int64 [B, N, 2], a picture's place on its car, and 1 for partners; None: no pictures.

    Args:
        batch: A piece of samples; `place` where views are pictures.
    """
    if "place" not in batch:
        return None
    return torch.stack([batch["place"], (batch["car"] > 0).long()], dim=-1)
