"""What a policy is: something that scores every candidate of a batch of states."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.states import States

Scores = NDArray[np.float64]


class Policy(Protocol):
    """Chooses the next view by score; the best open candidate is taken."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return a score for every candidate [B,M]; those of taken views are ignored."""
        ...


def choose(scores: Scores, states: States) -> NDArray[np.int64]:
    """Return the best open candidate of each state [B]; the lowest number wins a tie.

    Raises:
        PolicyError: A state has taken every candidate.
    """
    used = states.used
    if used.all(axis=1).any():
        raise PolicyError(
            "every candidate view is taken", "ask for fewer views than the protocol has"
        )
    return np.asarray(np.where(used, -np.inf, scores).argmax(axis=1))
