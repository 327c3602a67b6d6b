"""From oracle maps to training rows: states with features and true gains, as plain arrays.

Which states are drawn does not depend on the target, so that two targets are compared on the same
states.
"""

from __future__ import annotations

from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.oracle import OracleMap, Values
from gimbal_nbv.states import States, sample_states

Row = dict[str, NDArray[np.generic]]
Target = Literal["coverage", "chamfer"]
"""What the gains of a row count: coverage gained, or the share of the Chamfer distance lowered."""


def state_rows(
    oracle: OracleMap, count: int, seed: int, *, longest: int = 5, target: Target = "coverage"
) -> list[Row]:
    """Draw training states of one object.

    Args:
        oracle: The object.
        count: States.
        seed: Differs between objects.
        longest: Largest number of views taken.
        target: What the gains count.

    Returns:
        One row a state: `features` float32 [M,F], `blind` float32 [M,A], `gains` float32 [M],
        `used` bool [M], `views` int32 [longest] (-1 where shorter).
    """
    states = sample_states(oracle, count, np.random.default_rng(seed), longest=longest)
    return rows_of(states, FeatureCache(oracle, capacity=1), target)


def rows_of(states: States, cache: FeatureCache, target: Target = "coverage") -> list[Row]:
    """Describe states as training rows; see `state_rows`."""
    features, blind = cache.sighted(states), angle_features(states)
    gains, used = target_gains(states, target).astype(np.float32), states.used
    return [
        {
            "features": features[row],
            "blind": blind[row],
            "gains": gains[row],
            "used": used[row],
            "views": states.sets[row],
        }
        for row in range(len(states))
    ]


def target_gains(states: States, target: Target) -> Values:
    """Return what every candidate is worth in each state [B,M].

    Both targets are 0 for a view already taken. Coverage gains are never negative; a view that adds
    far-off points may raise the Chamfer distance, and then its gain is negative.
    """
    match target:
        case "coverage":
            return states.oracle.gains(states.sets)
        case "chamfer":
            return states.oracle.chamfer_ratios(states.sets)
    assert_never(target)
