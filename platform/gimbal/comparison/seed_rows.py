"""A group's runs laid out by seed, each with its samples as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gimbal.comparison.metrics import Metric
from gimbal.comparison.records import RunRecord

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SampleTable:
    """Samples and what each adds above and below the line, in one order."""

    ids: tuple[str, ...]
    above: Floats
    below: Floats

    def of(self, ids: tuple[str, ...]) -> SampleTable:
        """Return some of the samples, in another order."""
        if ids == self.ids:
            return self
        place = {sample: i for i, sample in enumerate(self.ids)}
        rows = [place[sample] for sample in ids]
        return SampleTable(ids, self.above[rows], self.below[rows])

    @property
    def total(self) -> float:
        """The metric on these samples."""
        below = float(self.below.sum())
        return float(self.above.sum()) / below if below > 0 else math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRow:
    """One seed of a group: its newest finished run.

    Attributes:
        table: Its samples; None: the metric is known for the whole run only.
        protocol: Equal for equal protocols.
    """

    seed: int
    run: int
    value: float
    table: SampleTable | None
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
                table=_table(run, metric),
                protocol=protocols[position],
            )
    return [rows[seed] for seed in sorted(rows)]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A group's and the reference's samples, both [samples, 2]: above and below the line."""

    ids: tuple[str, ...]
    first: Floats
    second: Floats

    def gaps(self) -> dict[str, float]:
        """Return each sample's share in the difference; for means it is the sample's own."""
        line = float((self.first[:, 1] + self.second[:, 1]).mean()) / 2
        if line <= 0:
            return {}
        shares = (self.first[:, 0] - self.second[:, 0]) / line
        return dict(zip(self.ids, shares.tolist(), strict=True))


def one_protocol(rows: Sequence[SeedRow]) -> bool:
    """Return whether all were evaluated by one protocol."""
    return len({row.protocol for row in rows}) == 1


def common_samples(rows: Sequence[SeedRow]) -> tuple[str, ...]:
    """Return the samples that all rows have; none where one has no samples."""
    tables = [row.table for row in rows if row.table is not None]
    if len(tables) < len(rows):
        return ()
    first = tables[0].ids
    if all(table.ids == first for table in tables):
        return first
    others = [set(table.ids) for table in tables[1:]]
    return tuple(sample for sample in first if all(sample in other for other in others))


def common_seeds(
    rows: Sequence[SeedRow], reference: Sequence[SeedRow]
) -> tuple[list[SeedRow], list[SeedRow]]:
    """Return the rows of seeds that both have with one protocol, in the same order."""
    theirs = {(row.seed, row.protocol): row for row in reference}
    ours = [row for row in rows if (row.seed, row.protocol) in theirs]
    return ours, [theirs[row.seed, row.protocol] for row in ours]


def _table(run: RunRecord, metric: Metric) -> SampleTable | None:
    measured = metric.measured(run)
    if measured is None or not measured.values:
        return None
    over = measured.over
    if over is None:
        above = np.fromiter(measured.values.values(), dtype=np.float64)
        return SampleTable(tuple(measured.values), above, np.ones_like(above))
    ids = tuple(sample for sample in measured.values if sample in over)
    above, below = (np.array([part[i] for i in ids]) for part in (measured.values, over))
    return SampleTable(ids, above, below)
