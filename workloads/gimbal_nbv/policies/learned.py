"""The trained networks as policies."""

from __future__ import annotations

from dataclasses import dataclass

from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.scorer import NbvModel
from gimbal_nbv.states import States


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
