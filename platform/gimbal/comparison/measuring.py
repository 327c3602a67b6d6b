"""A group's number with its interval, and its difference to the reference.

Runs are laid out by seed. With one protocol for all, every seed is measured on the same samples:
samples are drawn again and seeds shift the mean. With a protocol for each seed (its own test set),
samples are paired within a seed, and several seeds carry the interval alone, since each brings its
samples' chance with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gimbal.comparison import statistics as st
from gimbal.comparison.model import Difference, Measured
from gimbal.comparison.seed_rows import (
    Pairs,
    SampleTable,
    SeedRow,
    common_samples,
    common_seeds,
    one_protocol,
)

ONE_SEED = "one seed: no interval"
OVER_SAMPLES = "samples"
OVER_BOTH = "samples and seeds"
OVER_SEEDS = "seeds"


def measure(rows: Sequence[SeedRow]) -> Measured | None:
    """Return a group's mean over seeds with its interval; None without a row."""
    if not rows:
        return None
    by_seed = [row.value for row in rows]
    value = float(np.mean(by_seed))
    ids = common_samples(rows)
    if one_protocol(rows) and len(ids) > 1:
        draws = st.stretched(_draws(rows, ids), _total(rows, ids), len(ids))
        draws = draws + st.seed_shift(by_seed, 0) + (value - _total(rows, ids))
        low, high = st.percentiles(draws)
        basis = OVER_SAMPLES if len(rows) == 1 else OVER_BOTH
        return Measured(value=value, low=low, high=high, basis=basis)
    found = st.t_result(by_seed)
    if found is None:
        return Measured(value=value, basis=ONE_SEED)
    return Measured(value=value, low=found.low, high=found.high, basis=OVER_SEEDS)


def difference(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> Difference | None:
    """Return a group minus the reference; None where nothing is common.

    Its p is that of a t test that counts the spread between seeds; None where a group has one.
    """
    everything = [*rows, *reference]
    if any(row.table is None for row in everything):
        return _over_seeds(rows, reference)
    if one_protocol(everything):
        return _crossed(rows, reference)
    return _nested(*common_seeds(rows, reference))


def pairs(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> Pairs | None:
    """Return what the paired test swaps: seeds averaged, or side by side."""
    everything = [*rows, *reference]
    if any(row.table is None for row in everything):
        return None
    if one_protocol(everything):
        ids = common_samples(everything)
        return _averaged(rows, reference, ids) if ids else None
    parts = [
        (ours.seed, _averaged([ours], [theirs], common_samples([ours, theirs])))
        for ours, theirs in zip(*common_seeds(rows, reference), strict=True)
    ]
    if not parts:
        return None
    ids = tuple(f"seed {seed} · {sample}" for seed, part in parts for sample in part.ids)
    return Pairs(
        ids,
        first=np.concatenate([part.first for _, part in parts]),
        second=np.concatenate([part.second for _, part in parts]),
    )


def _crossed(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> Difference | None:
    ids = common_samples([*rows, *reference])
    if not ids:
        return None
    value = _total(rows, ids) - _total(reference, ids)
    if len(ids) < 2:
        return Difference(value=value, basis="one sample: no interval", samples=1)
    draws = _difference_draws(rows, reference, ids)
    seeds = _seed_parts(rows, reference, ids)
    shifts = [st.seed_shift(part, stream) for stream, part in enumerate(seeds)]
    low, high = st.percentiles(st.stretched(draws, value, len(ids)) + sum(shifts))
    over_samples = (float(np.nanstd(draws)) * math.sqrt(len(ids) / (len(ids) - 1)), len(ids) - 1)
    return Difference(
        value=value,
        low=low,
        high=high,
        basis=OVER_BOTH if seeds else OVER_SAMPLES,
        samples=len(ids),
        p=st.combined_p(value, over_samples, seeds) if seeds else None,
    )


def _seed_parts(
    rows: Sequence[SeedRow], reference: Sequence[SeedRow], ids: tuple[str, ...]
) -> list[st.Floats]:
    """Return what seeds make of it: one part where they are paired, else one a group."""
    ours, theirs = common_seeds(rows, reference)
    if len(ours) == len(rows) == len(reference):
        parts = [[_total([a], ids) - _total([b], ids) for a, b in _zip(ours, theirs)]]
    else:
        parts = [[_total([row], ids) for row in group] for group in (rows, reference)]
    return [np.asarray(part, dtype=np.float64) for part in parts if len(part) > 1]


def _nested(ours: Sequence[SeedRow], theirs: Sequence[SeedRow]) -> Difference | None:
    by_seed, count = [], 0
    for a, b in _zip(ours, theirs):
        ids = common_samples([a, b])
        if ids:
            by_seed.append(_total([a], ids) - _total([b], ids))
            count += len(ids)
    if len(by_seed) == 1:
        return _crossed(ours, theirs)
    found = st.t_result(by_seed)
    if found is None:
        return None
    return Difference(
        value=found.value,
        low=found.low,
        high=found.high,
        basis=OVER_SEEDS,
        samples=count,
        p=found.p,
    )


def _over_seeds(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> Difference:
    ours, theirs = common_seeds(rows, reference)
    if len(ours) == len(rows) == len(reference):
        found = st.t_result([a.value - b.value for a, b in _zip(ours, theirs)])
    else:
        found = st.welch([a.value for a in rows], [b.value for b in reference])
    value = float(np.mean([a.value for a in rows]) - np.mean([b.value for b in reference]))
    if found is None:
        return Difference(value=value, basis="one seed: no interval, no test")
    return Difference(
        value=value, low=found.low, high=found.high, p=found.p, basis="seeds (t test)"
    )


def _zip(ours: Sequence[SeedRow], theirs: Sequence[SeedRow]) -> list[tuple[SeedRow, SeedRow]]:
    return list(zip(ours, theirs, strict=True))


def _tables(rows: Sequence[SeedRow], ids: tuple[str, ...]) -> list[SampleTable]:
    return [row.table.of(ids) for row in rows if row.table is not None]


def _above_and_below(rows: Sequence[SeedRow], ids: tuple[str, ...]) -> tuple[st.Floats, st.Floats]:
    """Return both [rows, samples]."""
    tables = _tables(rows, ids)
    return np.stack([table.above for table in tables]), np.stack([t.below for t in tables])


def _averaged(rows: Sequence[SeedRow], reference: Sequence[SeedRow], ids: tuple[str, ...]) -> Pairs:
    first, second = (
        np.stack([part.mean(axis=0) for part in _above_and_below(group, ids)], axis=1)
        for group in (rows, reference)
    )
    return Pairs(ids, first=first, second=second)


def _draws(rows: Sequence[SeedRow], ids: tuple[str, ...]) -> st.Floats:
    return st.resampled(*_above_and_below(rows, ids))


def _difference_draws(
    rows: Sequence[SeedRow], reference: Sequence[SeedRow], ids: tuple[str, ...]
) -> st.Floats:
    ours, theirs = _above_and_below(rows, ids), _above_and_below(reference, ids)
    line = ours[1][0]
    if (ours[1] == line).all() and (theirs[1] == line).all():
        return st.resampled(ours[0].mean(axis=0) - theirs[0].mean(axis=0), line)
    return st.resampled(*ours) - st.resampled(*theirs)


def _total(rows: Sequence[SeedRow], ids: tuple[str, ...]) -> float:
    return float(np.mean([table.total for table in _tables(rows, ids)]))
