"""Runs policies on objects: one view after the other, all first views of an object at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.base import Policy, choose
from gimbal_nbv.states import States

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rollout:
    """What one policy did on one object, from R first views over a budget of K views.

    Attributes:
        policy: The policy's name.
        views: Views in the order taken, int32 [R,K].
        coverage: After 1..K views [R,K].
        chamfer: Chamfer distance after 1..K views, in diagonals [R,K].
        scores: The policy's scores at each decision [R,K-1,M].
        gains: The true coverage gains at each decision [R,K-1,M].
        used: Candidates taken before each decision, bool [R,K-1,M].
        cpu_s: CPU seconds of one decision, on average.
    """

    policy: str
    views: NDArray[np.int32]
    coverage: Values
    chamfer: Values
    scores: Values
    gains: Values
    used: NDArray[np.bool_]
    cpu_s: float

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a report needs, by name."""
        names = ("views", "coverage", "chamfer", "scores", "gains", "used")
        return {name: getattr(self, name) for name in names}


def roll_out(
    policy: Policy,
    oracle: OracleMap,
    first_views: Sequence[int],
    budget: int,
    features: FeatureCache | None = None,
) -> Rollout:
    """Let a policy choose views until the budget is spent.

    Args:
        policy: Who chooses.
        oracle: The object.
        first_views: One run starts from each.
        budget: Views K, the first included.
        features: Shared among the policies of one object, so that nothing is computed twice.
    """
    cache = features or FeatureCache(oracle)
    states = States(oracle, np.asarray(first_views, dtype=np.int32)[:, None])
    scores, gains, used = [], [], []
    spent = 0.0
    for _ in range(budget - 1):
        begin = time.process_time()
        scores.append(policy.scores(states, cache))
        spent += time.process_time() - begin
        gains.append(oracle.gains(states.sets))
        used.append(states.used)
        states = states.extended(choose(scores[-1], states))
    prefixes = [states.sets[:, : k + 1] for k in range(budget)]
    return Rollout(
        policy=policy.name,
        views=states.sets,
        coverage=np.stack([oracle.coverage(sets) for sets in prefixes], axis=1),
        chamfer=np.stack([oracle.chamfer(sets) for sets in prefixes], axis=1),
        scores=np.stack(scores, axis=1),
        gains=np.stack(gains, axis=1),
        used=np.stack(used, axis=1),
        cpu_s=spent / max((budget - 1) * len(states), 1),
    )
