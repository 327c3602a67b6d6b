"""States that a policy brings about itself, so that it can be trained where it will stand.

A policy trained on states of other policies meets states of its own at test time. Rolling it out
and asking the oracle what every candidate is worth there removes that difference: DAgger (Ross,
Gordon, Bagnell, "A reduction of imitation learning and structured prediction to no-regret online
learning", AISTATS 2011). The oracle map answers for every candidate at once, so a label is exact
and costs microseconds.
"""

from __future__ import annotations

import numpy as np

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.base import Policy
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.states import States


def visited_states(
    policy: Policy,
    oracle: OracleMap,
    cache: FeatureCache,
    count: int,
    rng: np.random.Generator,
    *,
    longest: int = 5,
) -> States:
    """Return states that a policy visits, from random first views.

    Every rollout gives one state of each length, 1 to `longest`, so lengths are as even as in
    `states.sample_states`. First views are not repeated while there are others.

    Args:
        policy: Who chooses.
        oracle: The object.
        cache: Of this object; what the policy looked at is remembered in it.
        count: States B.
        rng: Source of the first views.
        longest: Largest number of views.
    """
    starts = -(-count // longest)
    rounds = -(-starts // oracle.views)
    first = np.concatenate([rng.permutation(oracle.views) for _ in range(rounds)])[:starts]
    taken = roll_out(policy, oracle, first.tolist(), longest, cache).views
    sets = np.full((starts, longest, longest), -1, np.int32)
    for length in range(1, longest + 1):
        sets[:, length - 1, :length] = taken[:, :length]
    return States(oracle, sets.reshape(-1, longest)[:count])
