"""States to examine that depend on no trained policy: the farthest schedule from many first views.

Each further view is the candidate farthest from those taken, so a state of N views is the same for
every run and every reconstruction that is tested on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.oracle import Sets
from gimbal_nbv.protocol import SphereProtocol, starts_of

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.bench import Bench, BenchObject

Cosines = NDArray[np.float64]


def own_starts(bench: Bench, one: BenchObject, count: int) -> list[int]:
    """Return the first views of an object: the run's own where it fixed one, else seeded ones.

    Args:
        bench: The run.
        one: The object.
        count: How many, at most; as many as there are candidates.
    """
    wanted = min(count, one.oracle.views)
    fixed = bench.config.first_view
    return starts_of(bench.protocol, one.object_id, wanted, bench.seed, fixed)


def farthest_sets(protocol: SphereProtocol, first_views: Sequence[int], count: int) -> Sets:
    """Return view sets [B,count] on the farthest schedule from each first view.

    Args:
        protocol: Names the candidates.
        first_views: One set starts from each.
        count: Views of a set.
    """
    sets = np.asarray(first_views, dtype=np.int32)[:, None]
    while sets.shape[1] < count:
        near = nearest_cosine(protocol, sets)
        near[np.arange(len(sets))[:, None], sets] = np.inf
        sets = np.column_stack([sets, near.argmin(axis=1)]).astype(np.int32)
    return sets


def nearest_cosine(protocol: SphereProtocol, sets: Sets) -> Cosines:
    """Return every candidate's cosine to the nearest view of each full set [B,M]."""
    cosine = protocol.directions[sets] @ protocol.directions.T
    return np.asarray(cosine.max(axis=1))


def opposite_and_beside(
    protocol: SphereProtocol, sets: Sets
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the open candidates farthest from and nearest to the views of each set [B] each.

    With one view these are its antipode and its nearest neighbour.
    """
    near = nearest_cosine(protocol, sets)
    rows = np.arange(len(sets))[:, None]
    far, close = near.copy(), near.copy()
    far[rows, sets], close[rows, sets] = np.inf, -np.inf
    return far.argmin(axis=1), close.argmax(axis=1)
