"""The trained networks as policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.policies.base import Policy, Scores
from gimbal_nbv.states import States

if TYPE_CHECKING:
    from gimbal_nbv.attention.inputs import PolicyOutput
    from gimbal_nbv.attention.twins import AttentionTwins
    from gimbal_nbv.extractors import TrainedNetwork
    from gimbal_nbv.model_settings import ModelSettings
    from gimbal_nbv.scorer import NbvModel
    from gimbal_nbv.tokens.extractor import FeatureExtractor


@dataclass(frozen=True, eq=False)
class LearnedPolicy:
    """The trained scorer."""

    model: NbvModel
    name: str = "policy"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the network's scores [B,M]."""
        return self.model.score(features.sighted(states), states.used).astype(float)


@dataclass(frozen=True, eq=False)
class BlindPolicy:
    """The trained scorer that sees angles only: the control of every claim about pixels."""

    model: NbvModel
    name: str = "blind"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the blind network's scores [B,M]; no image is looked at."""
        del features
        return self.model.score_blind(angle_features(states), states.used).astype(float)


@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionPolicy:
    """The trained attention policy, or its blind twin.

    Attributes:
        model: Both networks.
        settings: What they were made from.
        extractor: Who makes the tokens.
        sighted: Which of the two.
    """

    model: AttentionTwins
    settings: ModelSettings
    extractor: FeatureExtractor
    sighted: bool = True

    @property
    def name(self) -> str:
        """Name in tables."""
        return "policy" if self.sighted else "blind"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the network's scores [B,M]; the blind twin looks at no image."""
        return self.answer(states, features).scores.numpy().astype(float)

    def answer(self, states: States, features: FeatureCache) -> PolicyOutput:
        """Return all that the network says about each state, scores among it."""
        import torch

        arrays = self._batch(states, features)
        batch = {name: torch.from_numpy(values) for name, values in arrays.items()}
        ask = self.model.sighted if self.sighted else self.model.unsighted
        with torch.no_grad():
            return ask(batch)

    def _batch(self, states: States, features: FeatureCache) -> dict[str, Any]:
        from gimbal_nbv.observing import geometry_of

        geometry = geometry_of(states.sets, states.oracle.protocol)
        batch: dict[str, Any] = {
            "present": geometry.present,
            "view_directions": geometry.view_directions,
            "candidates": geometry.candidates,
            "used": states.used,
        }
        rays = self.settings.candidate_features == "rays"
        if not self.sighted:
            return batch | ({"blind": angle_features(states)} if rays else {})
        batch["tokens"] = features.tokens(states, self.extractor)
        return batch | ({"features": features.sighted(states)} if rays else {})


def trained_policies(
    checkpoint: Path,
    settings: ModelSettings,
    image_size: int,
    network: TrainedNetwork | None = None,
) -> tuple[Policy, Policy]:
    """Return the policy of a checkpoint and its blind twin.

    Args:
        checkpoint: Folder of a checkpoint of stage `train`.
        settings: The model settings it was trained with.
        image_size: Side of the images it was trained on, in pixels.
        network: That of the extractor, where it needs one.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    from gimbal_nbv.extractors import extractor_of
    from gimbal_nbv.stages.training import load_attention, load_scorer

    if settings.policy == "scorer":
        scorer = load_scorer(checkpoint, settings)
        return LearnedPolicy(scorer), BlindPolicy(scorer)
    extractor = extractor_of(settings.extractor, network)
    twins = load_attention(checkpoint, settings, image_size, extractor)
    return (
        AttentionPolicy(model=twins, settings=settings, extractor=extractor),
        AttentionPolicy(model=twins, settings=settings, extractor=extractor, sighted=False),
    )
