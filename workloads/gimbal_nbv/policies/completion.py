"""The completion-guided policy: look where the net expects most unseen surface (as Pred-NBV does).

It learns what objects look like, but nothing about views: the control of whether learning to
choose views adds anything to learning shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.reconstruction.completion_feature import Completes, completion_scores
from gimbal_nbv.states import States


@dataclass(frozen=True, eq=False)
class CompletionPolicy:
    """Scores a candidate by the expected new surface it sees.

    Attributes:
        completion: The trained completion.
        name: Name in tables.
    """

    completion: Completes
    name: str = "completion"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the expected new surface of every candidate [B,M], in grid faces."""
        del features
        return completion_scores(states.oracle, states.sets, self.completion)[..., 0].astype(float)
