"""Keyed randomness: the same for a sample wherever it lands, and random otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gimbal.training.keyed import (
    key,
    keyed_bits,
    keyed_dropout,
    keyed_normal,
    keyed_uniform,
    mix,
)

ids = st.lists(st.integers(0, 2**62), min_size=1, max_size=30, unique=True)


@settings(deadline=None, max_examples=50)
@given(ids=ids, seed=st.integers(-(2**63), 2**64), step=st.integers(0, 10**7), data=st.data())
def test_a_sample_draws_the_same_in_any_batch(
    ids: list[int], seed: int, step: int, data: st.DataObject
) -> None:
    whole = keyed_normal(seed, step, ids, (2, 3), stream="a")
    order = data.draw(st.permutations(range(len(ids))))
    cut = data.draw(st.integers(0, len(ids)))
    parts = [
        keyed_normal(seed, step, [ids[i] for i in part], (2, 3), stream="a")
        for part in (order[:cut], order[cut:])
    ]
    assert torch.equal(torch.cat(parts), whole[list(order)])


def test_seed_step_stream_and_id_each_matter() -> None:
    base = keyed_bits(1, 2, [3], (4,), stream="x")
    others = [
        keyed_bits(2, 2, [3], (4,), stream="x"),
        keyed_bits(1, 3, [3], (4,), stream="x"),
        keyed_bits(1, 2, [4], (4,), stream="x"),
        keyed_bits(1, 2, [3], (4,), stream="y"),
    ]
    assert all(not torch.equal(base, other) for other in others)
    assert len({int(b) for row in [base, *others] for b in row.flatten()}) == 20


def test_the_tensor_arithmetic_is_splitmix64() -> None:
    """Against the published algorithm in Python's own integers."""
    start = mix((3 * 0x9E3779B97F4A7C15) ^ key(1, 2, ""))
    wanted = [mix(start + place * 0x9E3779B97F4A7C15) for place in (1, 2, 3)]
    found = keyed_bits(1, 2, [3], (3,)).flatten().tolist()
    assert [value % 2**64 for value in found] == wanted
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # first output for the state 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_follow_their_distribution(dtype: torch.dtype) -> None:
    uniform = keyed_uniform(0, 0, np.arange(20_000), (4,), dtype=dtype)
    assert uniform.dtype == dtype and uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    normal = keyed_normal(0, 0, np.arange(20_000), (4,), dtype=dtype)
    assert stats.kstest(normal.flatten().double().numpy(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(normal.double().numpy().T) - np.eye(4)
    assert np.abs(correlation).max() < 0.03


def test_dropout_keeps_the_mean_and_drops_by_sample() -> None:
    values = torch.ones(4000, 8)
    dropped = keyed_dropout(values, 0.25, seed=0, step=1, sample_ids=np.arange(4000))
    assert dropped.mean() == pytest.approx(1.0, abs=0.02)
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    some = keyed_dropout(values[:5], 0.25, seed=0, step=1, sample_ids=np.arange(100, 105))
    assert torch.equal(some, dropped[100:105])


def test_an_empty_batch_draws_nothing() -> None:
    assert keyed_uniform(0, 0, [], (3,)).shape == (0, 3)
