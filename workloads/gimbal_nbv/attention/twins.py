"""The attention policy and its blind twin, side by side on the same states.

The twin is the same kind of network with every image zeroed: it knows where the views stand, and
nothing of what they show. What it reaches, the images did not. The source's layout reads tokens
only, so its twin's tokens are the directions to the views and zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gimbal_nbv.attention.base import NbvPolicy
from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.attention.policy import AttentionNBVPolicy, Moments
from gimbal_nbv.attention.shape import AttentionShape
from gimbal_nbv.attention.source import SourceOptions, SourcePolicy

if TYPE_CHECKING:
    from gimbal_nbv.model_settings import ModelSettings
    from gimbal_nbv.tokens.extractor import TokenFormat

Batch = Mapping[str, Tensor]
"""`present`, `view_directions`, `candidates`, `used` as in `PolicyInputs`; for the sighted policy
`tokens` and perhaps `features` [B,M,F]; for the blind one perhaps `blind` [B,M,A]."""


class AttentionTwins(nn.Module):
    """Both networks.

    Args:
        policy: The sighted one.
        blind: The one that is given no picture: one token a view, of zeros or, where the network
            is told of the views by nothing else, of the view's direction and zeros.
    """

    def __init__(self, policy: NbvPolicy, blind: NbvPolicy) -> None:
        super().__init__()
        self.policy = policy
        self.blind = blind

    def forward(self, batch: Batch) -> dict[str, PolicyOutput]:
        """Return both answers."""
        return {"policy": self.sighted(batch), "blind": self.unsighted(batch)}

    def sighted(self, batch: Batch) -> PolicyOutput:
        """Return the policy's answer."""
        output: PolicyOutput = self.policy(_inputs(batch, batch["tokens"], batch.get("features")))
        return output

    def unsighted(self, batch: Batch) -> PolicyOutput:
        """Return the blind twin's answer; no token is read."""
        tokens = torch.zeros(
            (*batch["present"].shape, 1, self.token_dim), device=batch["used"].device
        )
        if isinstance(self.blind, SourcePolicy):
            tokens[..., 0, :3] = batch["view_directions"]
        output: PolicyOutput = self.blind(_inputs(batch, tokens, batch.get("blind")))
        return output

    @property
    def token_dim(self) -> int:
        """Numbers D of a token."""
        if isinstance(self.policy, AttentionNBVPolicy):
            return self.policy.shape.token_dim
        if isinstance(self.policy, SourcePolicy):
            return self.policy.token_dim
        raise TypeError(type(self.policy).__name__)


def _inputs(batch: Batch, tokens: Tensor, features: Tensor | None) -> PolicyInputs:
    return PolicyInputs(
        tokens=tokens,
        present=batch["present"],
        view_directions=batch["view_directions"],
        candidates=batch["candidates"],
        used=batch["used"],
        features=features,
    )


def build_twins(
    settings: ModelSettings,
    tokens: TokenFormat,
    image_size: int,
    *,
    auxiliary: bool = False,
    moments: tuple[Moments | None, Moments | None] = (None, None),
) -> AttentionTwins:
    """Make both networks from a config.

    The source's layout is built without its dropout: that draws by worker, so that two workers
    would train another network than one.

    Args:
        settings: The model's settings.
        tokens: Says what a token is.
        image_size: Side of the images in pixels.
        auxiliary: Whether the policy also answers the auxiliary questions.
        moments: What each standardises by; where none, a checkpoint must be loaded.
    """
    if settings.preset == "source":
        options = SourceOptions(dropout=0.0)
        twins = [SourcePolicy(tokens.dim, settings.head, options) for _ in range(2)]
        return AttentionTwins(*twins)
    given = _candidate_numbers(settings)
    shape = replace(_shape(settings, tokens, image_size), features=given[0])
    twin = replace(shape, tokens_per_view=1, pooling="mean", features=given[1])
    return AttentionTwins(
        AttentionNBVPolicy(replace(shape, auxiliary=auxiliary), moments[0]),
        AttentionNBVPolicy(twin, moments[1]),
    )


def _shape(settings: ModelSettings, tokens: TokenFormat, image_size: int) -> AttentionShape:
    return AttentionShape(
        token_dim=tokens.dim,
        tokens_per_view=tokens.tokens_per_view(image_size),
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        pooling=settings.pooling,
        head=settings.head,
        has_points=tokens.has_points,
        relative=settings.relative and tokens.has_points and settings.head == "discrete",
        coordinates=settings.coordinates,
        vectors=tokens.vectors,
        refinement=settings.refinement,
    )


def _candidate_numbers(settings: ModelSettings) -> tuple[int, int]:
    """Return how many numbers about each candidate the policy and its twin are given."""
    from gimbal_nbv.features import ANGLE_FEATURES, SIGHTED_FEATURES

    given = settings.candidate_features == "rays"
    return (SIGHTED_FEATURES, ANGLE_FEATURES) if given else (0, 0)
