"""The oracle map of one object: everything any view set can give, at the cost of a few words.

Coverage of a set is the OR of its views' bit rows; the completeness distance of every ground-truth
sample is the minimum over its views' rows; accuracy sums add up; voxel bits combine by OR. After
one pass over the object every view set, oracle, baseline and rollout costs microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.voxels import Codes, Words, codes_of, observers_of

Sets = NDArray[np.int32]
"""View sets [B,K]: candidate numbers in the order taken, -1 where a set is shorter."""
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OracleMap:
    """What each of the M candidates sees of one object.

    Attributes:
        protocol: How it was measured.
        visible: Coverage bits, uint64 [M, ceil(P/64)].
        distance: Distance from each ground-truth sample to the view's own points, float16 [M,P].
        accuracy: Per view: sum of distances from its points to the samples, sum of their squares,
            number within the F-score's threshold, number of points; float64 [M,4].
        free: Voxel bits, uint64 [M, grid^3/64].
        surface: Voxel bits, uint64 [M, grid^3/64].
        samples: The ground-truth samples, float32 [P,3].
    """

    protocol: SphereProtocol
    visible: Words
    distance: NDArray[np.float16]
    accuracy: Values
    free: Words
    surface: Words
    samples: NDArray[np.float32]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a data stage stores them."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], protocol: SphereProtocol) -> OracleMap:
        """Take the arrays of `to_arrays`; other names are ignored."""
        return cls(protocol, **{name: np.asarray(arrays[name]) for name in ARRAYS})

    @property
    def views(self) -> int:
        """Candidates M."""
        return len(self.visible)

    @property
    def sample_count(self) -> int:
        """Coverable samples P."""
        return int(self.distance.shape[1])

    @cached_property
    def _distance(self) -> NDArray[np.float32]:
        return self.distance.astype(np.float32)

    def seen(self, sets: Sets) -> Words:
        """Return the coverage bits of each set, uint64 [B,W]."""
        rows = np.where((sets >= 0)[..., None], self.visible[sets], np.uint64(0))
        return np.asarray(np.bitwise_or.reduce(rows, axis=1))

    def coverage(self, sets: Sets) -> Values:
        """Return the share of samples each set covers [B]."""
        return popcount(self.seen(sets)) / self.sample_count

    def gains(self, sets: Sets) -> Values:
        """Return the coverage every candidate would add to each set [B,M]."""
        missing = ~self.seen(sets)[:, None]
        return popcount(self.visible & missing) / self.sample_count

    def nearest(self, sets: Sets) -> NDArray[np.float32]:
        """Return each sample's distance to the reconstruction of each set [B,P]."""
        rows = np.where((sets >= 0)[..., None], self._distance[sets], np.float32(np.inf))
        return np.asarray(rows.min(axis=1))

    def completeness(self, sets: Sets) -> Values:
        """Return the mean distance from samples to the reconstruction [B]."""
        return np.asarray(self.nearest(sets).mean(axis=1, dtype=np.float64))

    def accuracy_of(self, sets: Sets) -> Values:
        """Return the mean distance from reconstructed points to the samples [B]."""
        total = self._accuracy_sums(sets)
        return np.asarray(total[:, 0] / np.maximum(total[:, 3], 1))

    def chamfer(self, sets: Sets, *, squared: bool = False) -> Values:
        """Return the Chamfer distance, the sum of both directions' means [B].

        Args:
            sets: View sets.
            squared: Mean squared distances (in squared diagonals) instead of distances.
        """
        nearest, total = self.nearest(sets), self._accuracy_sums(sets)
        near = np.square(nearest) if squared else nearest
        points = np.maximum(total[:, 3], 1)
        return np.asarray(near.mean(axis=1, dtype=np.float64) + total[:, int(squared)] / points)

    def f_score(self, sets: Sets) -> Values:
        """Return the F-score at the protocol's threshold [B]."""
        total = self._accuracy_sums(sets)
        precision = total[:, 2] / np.maximum(total[:, 3], 1)
        recall = (self.nearest(sets) < self.protocol.f_threshold).mean(axis=1)
        return np.asarray(2 * precision * recall / np.maximum(precision + recall, 1e-12))

    def chamfer_gains(self, sets: Sets) -> Values:
        """Return how much every candidate would lower the Chamfer distance of each set [B,M]."""
        nearest, total = self.nearest(sets), self._accuracy_sums(sets)[:, None] + self.accuracy
        reached = np.empty((len(sets), self.views))
        for row, current in enumerate(nearest):
            reached[row] = np.minimum(self._distance, current).mean(axis=1)
        after = reached + total[..., 0] / np.maximum(total[..., 3], 1)
        return self.chamfer(sets)[:, None] - after

    def chamfer_ratios(self, sets: Sets) -> Values:
        """Return the share of each set's Chamfer distance every candidate would take away [B,M].

        This is RRI, (before - after) / before. A candidate already taken adds nothing: 0, though
        measuring its points twice would shift the mean of the accuracy a little.
        """
        before = np.maximum(self.chamfer(sets), 1e-12)[:, None]
        ratios = self.chamfer_gains(sets) / before
        rows, columns = np.nonzero(sets >= 0)
        ratios[rows, sets[rows, columns]] = 0.0
        return np.asarray(ratios)

    def floor(self) -> float:
        """Return the Chamfer distance of all M views together."""
        return float(self.chamfer(np.arange(self.views, dtype=np.int32)[None])[0])

    def codes(self, views: Sets) -> Codes:
        """Return the voxel codes of one set [K] of views, uint8 [grid, grid, grid]."""
        return codes_of(self.free[views], self.surface[views], self.protocol.grid)

    def observers(self, views: Sets) -> NDArray[np.uint16]:
        """Return which views of one set [K] measured each voxel, uint16 [grid^3]."""
        return observers_of(self.surface[views], self.protocol.grid)

    def _accuracy_sums(self, sets: Sets) -> Values:
        return np.asarray(np.where((sets >= 0)[..., None], self.accuracy[sets], 0).sum(axis=1))


ARRAYS = ("visible", "distance", "accuracy", "free", "surface", "samples")
"""The arrays of an `OracleMap`, in order."""


def popcount(words: Words) -> NDArray[np.int64]:
    """Count the bits set along the last axis."""
    return np.asarray(np.bitwise_count(words).sum(axis=-1, dtype=np.int64))


def pack(flags: NDArray[np.bool_]) -> Words:
    """Pack flags [...,P] into words uint64 [..., ceil(P/64)], lowest bit first."""
    missing = -flags.shape[-1] % 64
    padded = np.pad(flags, [(0, 0)] * (flags.ndim - 1) + [(0, missing)])
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)
