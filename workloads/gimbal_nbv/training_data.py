"""From oracle maps to training rows: states with features and true gains, as plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.states import States, sample_states

Row = dict[str, NDArray[np.generic]]


def state_rows(oracle: OracleMap, count: int, seed: int, *, longest: int = 5) -> list[Row]:
    """Draw training states of one object.

    Args:
        oracle: The object.
        count: States.
        seed: Differs between objects.
        longest: Largest number of views taken.

    Returns:
        One row a state: `features` float32 [M,F], `blind` float32 [M,A], `gains` float32 [M],
        `used` bool [M], `views` int32 [longest] (-1 where shorter).
    """
    states = sample_states(oracle, count, np.random.default_rng(seed), longest=longest)
    return rows_of(states, FeatureCache(oracle, capacity=1))


def rows_of(states: States, cache: FeatureCache) -> list[Row]:
    """Describe states as training rows; see `state_rows`."""
    features, blind = cache.sighted(states), angle_features(states)
    gains, used = states.oracle.gains(states.sets).astype(np.float32), states.used
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
