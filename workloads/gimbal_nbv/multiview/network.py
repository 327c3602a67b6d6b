"""The network that settings describe, untrained."""

from __future__ import annotations

from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_vision.multiview.model import MultiViewModel
from gimbal_vision.multiview.shape import ModelShape


def build_network(settings: MultiviewSettings) -> MultiViewModel:
    """Return the network with fresh weights, drawn from torch's generator."""
    return MultiViewModel(
        ModelShape(
            patch=settings.patch,
            encoder_dim=settings.encoder_dim,
            encoder_layers=settings.encoder_layers,
            encoder_heads=settings.encoder_heads,
            dim=settings.dim,
            layers=settings.layers,
            heads=settings.heads,
            taps=(settings.layers // 3, 2 * settings.layers // 3),
            dense_dim=settings.dense_dim,
            geometric_dims=(settings.encoder_dim,) * 3,
        )
    )
