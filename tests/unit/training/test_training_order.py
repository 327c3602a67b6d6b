"""The order of samples: a function of seed and step, whole epochs, nothing dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.training.order import SampleOrder, in_pieces

sizes = st.integers(3, 60)


@settings(deadline=None, max_examples=50)
@given(samples=sizes, batch=st.integers(1, 80), seed=st.integers(-(2**63), 2**64), step=sizes)
def test_shares_of_any_number_of_workers_make_the_batch(
    samples: int, batch: int, seed: int, step: int
) -> None:
    order = SampleOrder(samples, batch, seed)
    whole = order.batch(step)
    assert len(whole) == batch
    for workers in (1, 2, 3, 7):
        shares = [order.share(step, rank, workers) for rank in range(workers)]
        joined = np.full(batch, -1)
        for rank, share in enumerate(shares):
            joined[rank::workers] = share
        np.testing.assert_array_equal(joined, whole)


@settings(deadline=None, max_examples=50)
@given(samples=sizes, batch=st.integers(1, 80), seed=st.integers(0, 1000))
def test_every_epoch_holds_every_sample_once(samples: int, batch: int, seed: int) -> None:
    order = SampleOrder(samples, batch, seed)
    steps = -(-3 * samples // batch)
    stream = np.concatenate([order.batch(step) for step in range(steps)])[: 3 * samples]
    for epoch in stream.reshape(3, samples):
        assert sorted(epoch) == list(range(samples))


def test_epochs_and_seeds_differ() -> None:
    order = SampleOrder(1000, 1000, 1)
    assert not np.array_equal(order.batch(0), order.batch(1))
    assert not np.array_equal(order.batch(0), SampleOrder(1000, 1000, 2).batch(0))


def test_the_order_never_changes_between_releases() -> None:
    """A resumed run must draw what the interrupted one would have drawn."""
    assert SampleOrder(10, 10, 7).batch(0).tolist() == [5, 1, 9, 4, 7, 3, 0, 6, 8, 2]


def test_pieces_cover_a_share_in_order() -> None:
    share = np.arange(7)
    assert [piece.tolist() for piece in in_pieces(share, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(in_pieces(share, None)) == len(in_pieces(share[:0], 3)) == 1


def test_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        SampleOrder(0, 4, 0)
