"""The best constant answer: one fixed direction per step, in the frame of the first view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.base import Scores, choose
from gimbal_nbv.protocol import first_frames
from gimbal_nbv.states import States


@dataclass(frozen=True, eq=False)
class FirstFramePolicy:
    """Goes to the direction that was best on average over the training objects.

    Directions are written in the frame of the first view (z towards it, x along its camera's
    right), so this is the best a policy can do that never looks.

    Attributes:
        directions: Unit vectors [K-1,3] of views 2..K.
    """

    directions: NDArray[np.float64]
    name: str = "first_frame"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the cosine to this step's direction [B,M]; after the last one, stays with it."""
        del features
        protocol = states.oracle.protocol
        step = np.minimum(states.counts - 1, len(self.directions) - 1)
        frames = first_frames(protocol, states.sets[:, 0])
        target = np.einsum("bij,bj->bi", frames, self.directions[step])
        return np.asarray(target @ protocol.directions.T)

    @classmethod
    def fit(
        cls,
        oracles: Sequence[OracleMap],
        *,
        budget: int,
        seed: int,
        first_views: int = 8,
        first_view: int | None = None,
        options: int = 256,
    ) -> FirstFramePolicy:
        """Choose the directions one after the other by mean coverage gain.

        Args:
            oracles: Training objects.
            budget: Views K.
            seed: Seed of the first views and of the directions tried.
            first_views: Starts per object, drawn.
            first_view: The one start of every object, where it is fixed.
            options: Directions tried per step.
        """
        rng = np.random.default_rng(seed)
        tried = rng.normal(size=(options, 3))
        tried /= np.linalg.norm(tried, axis=1, keepdims=True)
        batches = []
        for oracle in oracles:
            drawn = rng.integers(oracle.views, size=(first_views, 1))
            starts = drawn if first_view is None else np.array([[first_view]])
            batches.append(States(oracle, starts.astype(np.int32)))
        chosen: list[NDArray[np.float64]] = []
        for _ in range(budget - 1):
            value = np.zeros(options)
            for states in batches:
                value += _value_of(states, tried)
            chosen.append(tried[int(value.argmax())])
            policy = cls(np.array(chosen))
            batches = [
                s.extended(choose(policy.scores(s, FeatureCache(s.oracle)), s)) for s in batches
            ]
        return cls(np.array(chosen))


def _value_of(states: States, tried: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean gain of each tried direction [T] over the states."""
    gains = np.where(states.used, 0.0, states.oracle.gains(states.sets))
    protocol = states.oracle.protocol
    world = np.einsum("bij,tj->bti", first_frames(protocol, states.sets[:, 0]), tried)
    nearest = (world @ protocol.directions.T).argmax(axis=2)
    return np.asarray(np.take_along_axis(gains, nearest, axis=1).mean(axis=0))
