"""Fetching a worker's share of each step and putting it on the device.

Reading is done in the loop itself as long as it is quick, since handing a small batch from thread
to thread costs more than mapping it. Where it is slow, a thread reads one step ahead. Either way
the batches are the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gimbal.training.order import SampleOrder, in_pieces
from gimbal.training.task import Batch, Source
from gimbal.training.world import World

_SLOW_FETCH_S = 1e-3
_FETCHES_TO_JUDGE = 8

Pieces = list[Batch | None]


class Batches:
    """A worker's pieces of every step.

    Args:
        source: The training split.
        order: Which samples make a step.
        world: This worker's place.
        largest: Samples of one forward pass; None: no limit.
        empty_batches: Give an empty batch instead of None for an empty share.
    """

    def __init__(
        self,
        source: Source,
        order: SampleOrder,
        world: World,
        *,
        largest: int | None,
        empty_batches: bool = False,
    ) -> None:
        self._source = source
        self._order = order
        self._world = world
        self._largest = largest
        self._empty_batches = empty_batches
        self._seconds: list[float] = []
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[int, Future[Pieces]] | None = None

    @property
    def accumulates(self) -> bool:
        """Whether any worker needs more than one forward pass a step."""
        most = -(-self._order.global_batch // self._world.size)
        return self._largest is not None and most > self._largest

    def at(self, step: int) -> Pieces:
        """Return the pieces of a step on the device; a lone None for an empty share."""
        if self._ahead is not None and self._ahead[0] == step:
            pieces = self._ahead[1].result()
        else:
            pieces = self._timed(step)
        if self._reader is not None:
            self._ahead = (step + 1, self._reader.submit(self._read, step + 1))
        return [piece if piece is None else on_device(piece, self._world) for piece in pieces]

    def close(self) -> None:
        """Stop reading ahead."""
        if self._reader is not None:
            self._reader.shutdown(wait=True, cancel_futures=True)

    def _timed(self, step: int) -> Pieces:
        start = time.perf_counter()
        pieces = self._read(step)
        if len(self._seconds) < _FETCHES_TO_JUDGE:
            self._seconds.append(time.perf_counter() - start)
            judged = len(self._seconds) == _FETCHES_TO_JUDGE
            if judged and median(self._seconds) > _SLOW_FETCH_S:
                self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        return pieces

    def _read(self, step: int) -> Pieces:
        share = self._order.share(step, self._world.rank, self._world.size)
        if len(share) == 0:
            return [self._empty() if self._empty_batches else None]
        return [fetched(self._source, piece) for piece in in_pieces(share, self._largest)]

    def _empty(self) -> Batch:
        """Return a batch of no samples, shaped like any other."""
        one = fetched(self._source, np.zeros(1, dtype=np.int64))
        return {
            name: value[:0]
            if hasattr(value, "__getitem__") and not isinstance(value, str)
            else value
            for name, value in one.items()
        }


def fetched(source: Source, indices: np.ndarray) -> Batch:
    """Return a batch with `sample_ids` (int64 [B]), numpy arrays turned into tensors."""
    batch = dict(source.fetch(indices))
    batch.setdefault("sample_ids", indices)
    return {name: as_tensor(value) for name, value in batch.items()}


def as_tensor(value: Any) -> Any:
    """Share a numeric numpy array with torch; leave anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return value
    if value.dtype.kind == "u" and value.dtype.itemsize > 1:
        value = value.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(value))


def on_device(batch: Mapping[str, Any], world: World) -> Batch:
    """Move a batch's tensors to the worker's device without waiting for it."""
    if world.device.type == "cpu":
        return dict(batch)
    return {
        name: _pinned(value).to(world.device, non_blocking=True)
        if isinstance(value, Tensor)
        else value
        for name, value in batch.items()
    }


def _pinned(value: Tensor) -> Tensor:
    return value.pin_memory() if value.device.type == "cpu" else value
