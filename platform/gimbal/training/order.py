"""Which samples make step k: a function of (seed, step) and nothing else.

The epochs' permutations laid end to end are one endless stream; step k takes the next
`global_batch` of it. Nothing is dropped: a batch that reaches over the end of an epoch takes the
rest from the next one. Worker r of w takes `batch[r::w]`.

A permutation sorts the samples by a keyed hash, so it depends on no library's generator.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gimbal.training.keyed import keyed_bits


class SampleOrder:
    """The endless stream of sample indices.

    Args:
        samples: Number of samples of the source, at least 1.
        global_batch: Samples of a step.
        seed: The experiment's seed.
    """

    def __init__(self, samples: int, global_batch: int, seed: int) -> None:
        if samples < 1:
            raise ValueError("there is no sample to draw")
        self.samples = samples
        self.global_batch = global_batch
        self.seed = seed
        self._epoch = lru_cache(maxsize=2)(self._permutation)
        self._last: tuple[int, np.ndarray] | None = None

    def _permutation(self, epoch: int) -> np.ndarray:
        keys = keyed_bits(self.seed, epoch, np.arange(self.samples), stream="order").numpy()
        return np.argsort(keys, kind="stable")

    def batch(self, step: int) -> np.ndarray:
        """Return the sample indices of a step, int64 [global_batch]."""
        last = self._last
        if last is None or last[0] != step:
            last = self._last = (step, self._drawn(step))
        return last[1]

    def _drawn(self, step: int) -> np.ndarray:
        start = step * self.global_batch
        end = start + self.global_batch
        epoch, offset = divmod(start, self.samples)
        if offset + self.global_batch <= self.samples:
            return self._epoch(epoch)[offset : offset + self.global_batch]
        parts = []
        while start < end:
            epoch, offset = divmod(start, self.samples)
            part = self._epoch(epoch)[offset : offset + end - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def share(self, step: int, rank: int, workers: int) -> np.ndarray:
        """Return what one worker takes of a step; empty where workers outnumber samples."""
        return self.batch(step)[rank::workers]


def in_pieces(share: np.ndarray, largest: int | None) -> list[np.ndarray]:
    """Cut a worker's share into consecutive pieces no larger than one forward pass may be.

    Returns:
        At least one piece; a single empty one for an empty share.
    """
    if largest is None or len(share) <= largest:
        return [share]
    return [share[start : start + largest] for start in range(0, len(share), largest)]
