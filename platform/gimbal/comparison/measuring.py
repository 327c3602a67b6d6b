"""A group's number with its interval, and its difference to the reference.

Runs are laid out by seed. With one protocol for all, every seed is measured on the same samples:
samples are drawn again and seeds shift the mean. With a protocol for each seed (its own test set),
samples are paired within a seed, and several seeds carry the interval alone, since each brings its
samples' chance with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gimbal.comparison import statistics as st
from gimbal.comparison.metrics import Metric
from gimbal.comparison.model import Difference, Measured
from gimbal.comparison.records import RunRecord

ONE_SEED = "one seed: no interval"
OVER_SAMPLES = "samples"
OVER_BOTH = "samples and seeds"
OVER_SEEDS = "seeds"
Pair = tuple[float, float]
"""What a sample adds above and below the line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRow:
    """One seed of a group: its newest finished run.

    Attributes:
        samples: By sample; None: the metric is known for the whole run only.
        protocol: Equal for equal protocols.
    """

    seed: int
    run: int
    value: float
    samples: Mapping[str, Pair] | None
    protocol: str


def seed_rows(
    runs: Sequence[RunRecord], positions: Sequence[int], metric: Metric, protocols: Sequence[str]
) -> list[SeedRow]:
    """Return the rows of a group, by seed."""
    rows: dict[int, SeedRow] = {}
    for position in sorted(positions, key=lambda i: str(runs[i].started_at or "")):
        run = runs[position]
        value = metric.value(run)
        if value is not None and run.status == "finished":
            rows[run.seed] = SeedRow(
                seed=run.seed,
                run=position,
                value=value,
                samples=_pairs(run, metric),
                protocol=protocols[position],
            )
    return [rows[seed] for seed in sorted(rows)]


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
    if any(row.samples is None for row in everything):
        return _over_seeds(rows, reference)
    if one_protocol(everything):
        return _crossed(rows, reference)
    return _nested(*common_seeds(rows, reference))


def pairs(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> dict[str, tuple[Pair, Pair]]:
    """Return what is swapped by the paired test, by sample: seeds averaged, or side by side."""
    everything = [*rows, *reference]
    if any(row.samples is None for row in everything):
        return {}
    if one_protocol(everything):
        ids = common_samples(everything)
        return {i: (_mean_pair(rows, i), _mean_pair(reference, i)) for i in ids}
    ours, theirs = common_seeds(rows, reference)
    return {
        f"seed {a.seed} · {i}": ((a.samples or {})[i], (b.samples or {})[i])
        for a, b in zip(ours, theirs, strict=True)
        for i in common_samples([a, b])
    }


def one_protocol(rows: Sequence[SeedRow]) -> bool:
    """Return whether all were evaluated by one protocol."""
    return len({row.protocol for row in rows}) == 1


def common_samples(rows: Sequence[SeedRow]) -> list[str]:
    """Return the samples that all rows have; none where one has no samples."""
    first, *others = (row.samples or {} for row in rows)
    return [sample for sample in first if all(sample in other for other in others)]


def common_seeds(
    rows: Sequence[SeedRow], reference: Sequence[SeedRow]
) -> tuple[list[SeedRow], list[SeedRow]]:
    """Return the rows of seeds that both have with one protocol, in the same order."""
    theirs = {(row.seed, row.protocol): row for row in reference}
    ours = [row for row in rows if (row.seed, row.protocol) in theirs]
    return ours, [theirs[row.seed, row.protocol] for row in ours]


def _crossed(rows: Sequence[SeedRow], reference: Sequence[SeedRow]) -> Difference | None:
    ids = common_samples([*rows, *reference])
    if not ids:
        return None
    value = _total(rows, ids) - _total(reference, ids)
    if len(ids) < 2:
        return Difference(value=value, basis="one sample: no interval", samples=1)
    draws = _draws(rows, ids) - _draws(reference, ids)
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
    rows: Sequence[SeedRow], reference: Sequence[SeedRow], ids: Sequence[str]
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


def _table(rows: Sequence[SeedRow], ids: Sequence[str]) -> tuple[st.Floats, st.Floats]:
    """Return what is above and below the line, both [rows, samples]."""
    cells = [[(row.samples or {})[sample] for sample in ids] for row in rows]
    both = np.asarray(cells, dtype=np.float64).reshape(len(rows), len(ids), 2)
    return both[..., 0], both[..., 1]


def _draws(rows: Sequence[SeedRow], ids: Sequence[str]) -> st.Floats:
    return st.resampled(*_table(rows, ids))


def _total(rows: Sequence[SeedRow], ids: Sequence[str]) -> float:
    above, below = (part.sum(axis=1) for part in _table(rows, ids))
    return float(np.mean(above / np.where(below > 0, below, np.nan)))


def _mean_pair(rows: Sequence[SeedRow], sample: str) -> Pair:
    found = [(row.samples or {})[sample] for row in rows]
    return sum(a for a, _ in found) / len(found), sum(b for _, b in found) / len(found)


def _pairs(run: RunRecord, metric: Metric) -> dict[str, Pair] | None:
    measured = metric.measured(run)
    if measured is None:
        return None
    over = measured.over
    if over is None:
        return {sample: (value, 1.0) for sample, value in measured.values.items()}
    return {s: (value, over[s]) for s, value in measured.values.items() if s in over}
