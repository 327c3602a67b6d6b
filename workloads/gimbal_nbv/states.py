"""States of view planning: one object and the views taken so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.oracle import OracleMap, Sets

Prefix = Literal["random", "farthest", "greedy"]


@dataclass(frozen=True, eq=False)
class States:
    """B view sets of one object.

    Attributes:
        oracle: The object.
        sets: Views in the order taken, int32 [B,K], -1 where a set is shorter; column 0 is the
            first view.
    """

    oracle: OracleMap
    sets: Sets

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which candidates each state has taken, bool [B,M]."""
        used = np.zeros((len(self.sets), self.oracle.views), dtype=np.bool_)
        rows, columns = np.nonzero(self.sets >= 0)
        used[rows, self.sets[rows, columns]] = True
        return used

    @property
    def counts(self) -> NDArray[np.int64]:
        """Views each state has taken [B]."""
        return np.asarray((self.sets >= 0).sum(axis=1))

    def views(self, row: int) -> Sets:
        """Return the views of one state, without padding."""
        return np.asarray(self.sets[row, self.sets[row] >= 0])

    def extended(self, choice: NDArray[np.int_]) -> States:
        """Take one more view in every state; all states must be equally long."""
        return States(self.oracle, np.column_stack([self.sets, choice]).astype(np.int32))


def sample_states(
    oracle: OracleMap,
    count: int,
    rng: np.random.Generator,
    *,
    longest: int = 5,
    first: int | None = None,
) -> States:
    """Draw states as they occur under policies of mixed skill.

    Each has 1 to `longest` views: a uniformly random first view, then a prefix that is random,
    near-farthest or near-greedy in equal parts. Lengths go round, so that every stage is trained.

    Args:
        oracle: The object.
        count: States B.
        rng: Source of all choices.
        longest: Largest number of views.
        first: Every state starts from this view; any where None.
    """
    sets = np.full((count, longest), -1, dtype=np.int32)
    lengths = 1 + rng.permutation(np.arange(count) % longest)
    kinds = rng.choice(get_args(Prefix), size=count)
    for row, (length, kind) in enumerate(zip(lengths, kinds, strict=True)):
        sets[row, :length] = _prefix(oracle, int(length), kind, rng, first)
    return States(oracle, sets)


_NEAR = 4
"""A near-greedy step takes one of this many best candidates."""


def _prefix(
    oracle: OracleMap, length: int, kind: Prefix, rng: np.random.Generator, first: int | None
) -> Sets:
    views = [int(rng.integers(oracle.views)) if first is None else first]
    directions = oracle.protocol.directions
    while len(views) < length:
        taken = np.asarray(views, dtype=np.int32)
        if kind == "random":
            score = rng.random(oracle.views)
        elif kind == "farthest":
            score = -(directions @ directions[taken].T).max(axis=1)
        else:
            score = oracle.gains(taken[None])[0]
        score[taken] = -np.inf
        best = np.argsort(-score)[: min(_NEAR, oracle.views - len(views))]
        views.append(int(best[0] if kind == "random" else rng.choice(best)))
    return np.asarray(views, dtype=np.int32)
