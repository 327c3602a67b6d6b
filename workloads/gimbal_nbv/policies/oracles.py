"""Policies that know the object: the ceiling of every table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.features import FeatureCache
from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.states import States


@dataclass(frozen=True)
class OracleCoverage:
    """Takes the largest true coverage gain."""

    name: str = "oracle"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the true coverage gains [B,M]."""
        del features
        return states.oracle.gains(states.sets)


@dataclass(frozen=True)
class OracleChamfer:
    """Takes the largest true decrease of the Chamfer distance (hence the largest RRI)."""

    name: str = "oracle_cd"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the true decreases [B,M]."""
        del features
        return states.oracle.chamfer_gains(states.sets)


def beam_search(oracle: OracleMap, first: int, budget: int, width: int = 24) -> Sets:
    """Return views [K] of (nearly) largest mean coverage, knowing the object.

    Shows how much looking ahead could win over the greedy oracle.

    Args:
        oracle: The object.
        first: First view.
        budget: Views K, the first included.
        width: Sets kept after each step.
    """
    sets = np.array([[first]], dtype=np.int32)
    area = oracle.coverage(sets)
    for _ in range(budget - 1):
        reached = oracle.coverage(sets)[:, None] + oracle.gains(sets)
        value = np.where(States(oracle, sets).used, -np.inf, area[:, None] + reached)
        order = np.argsort(-value, axis=None, kind="stable")
        sets, area = _distinct(sets, value, order, width)
    return np.asarray(sets[int(area.argmax())])


def _distinct(
    sets: Sets, value: Scores, order: NDArray[np.intp], width: int
) -> tuple[Sets, Scores]:
    """Keep the best extensions that differ as sets."""
    kept, areas, known = [], [], set()
    for flat in order:
        row, view = divmod(int(flat), value.shape[1])
        key = frozenset((*map(int, sets[row]), view))
        if key in known or not np.isfinite(value[row, view]):
            continue
        known.add(key)
        kept.append([*sets[row], view])
        areas.append(value[row, view])
        if len(kept) == width:
            break
    return np.array(kept, dtype=np.int32), np.array(areas)
