"""Policies that know directions only, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.states import States


@dataclass(frozen=True)
class RandomPolicy:
    """Any open candidate. The draw depends on the seed, the views taken and the object alone."""

    seed: int = 0
    name: str = "random"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return noise [B,M]."""
        del features
        key = crc32(states.oracle.visible.tobytes())
        return np.stack(
            [
                np.random.default_rng([self.seed, key, *map(int, states.views(row))]).random(
                    states.oracle.views
                )
                for row in range(len(states))
            ]
        )


@dataclass(frozen=True)
class FarthestPolicy:
    """The candidate whose nearest taken view is farthest away: the bar to beat."""

    name: str = "farthest"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return minus the cosine to the nearest taken view [B,M]."""
        del features
        return -_nearest_cosine(states)


@dataclass(frozen=True)
class RingPolicy:
    """Even steps along the great circle through the first view and the pole.

    Attributes:
        steps: Views on the ring, the first included.
    """

    steps: int = 6
    name: str = "ring"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the cosine to the next place on the ring [B,M]."""
        del features
        directions = states.oracle.protocol.directions
        first = directions[states.sets[:, 0]]
        away = np.where(np.abs(first[:, 2:]) < 0.9, [[0.0, 0, 1]], [[1.0, 0, 0]])
        side = away - (away * first).sum(1, keepdims=True) * first
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        angle = (2 * np.pi / self.steps * states.counts)[:, None]
        return np.asarray((np.cos(angle) * first + np.sin(angle) * side) @ directions.T)


def _nearest_cosine(states: States) -> Scores:
    directions = states.oracle.protocol.directions
    cosine = directions[states.sets] @ directions.T
    return np.asarray(np.where((states.sets >= 0)[..., None], cosine, -2.0).max(axis=1))
