"""The learning rates a training logged, beside those its schedule asks for.

Read from `metrics.jsonl` and the ledger, without torch. `gimbal.training.ledger` compares every
logged and every saved rate; here a few are picked for a person to look at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.training.ledger_lines import Begun, read_ledger
from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal.training.schedule import rate_factor

_SAME = 1e-9
"""Relative difference at which two rates are the same; all are products of the same doubles."""
_PARTS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A logged learning rate.

    Attributes:
        step: The step it was used for, counted from 1.
        group: The parameter group.
        rate: As logged.
        scheduled: As the schedule has it.
    """

    step: int
    group: str
    rate: float
    scheduled: float

    @property
    def as_scheduled(self) -> bool:
        """Whether both are the same."""
        return same_rate(self.rate, self.scheduled)


@dataclass(frozen=True, kw_only=True, slots=True)
class RateTrace:
    """The learning rates of one training.

    Attributes:
        schedule: The settings that shape them.
        peaks: Peak of each parameter group.
        logged: How many rates were logged.
        rates: The first, the end of the warm-up, every tenth and the last, of every group.
    """

    schedule: Mapping[str, Any]
    peaks: Mapping[str, float]
    logged: int
    rates: tuple[Rate, ...]


def same_rate(rate: float, other: float) -> bool:
    """Return whether two rates are the same but for rounding."""
    return math.isclose(rate, other, rel_tol=_SAME)


def scheduled(begun: Begun, group: str, step: int) -> float:
    """Return the rate of a group at a step, counted from 1."""
    return begun.peaks[group] * rate_factor(begun.settings(), step - 1)


def logged_rates(record: Mapping[str, Any], begun: Begun) -> Iterator[tuple[str, float]]:
    """Yield the rates of a line of metrics by group; `lr` is the first group's.

    A step that was never done, and a ledger that names no group, have none.
    """
    if record["step"] < 1 or not begun.peaks:
        return
    values = record["values"]
    groups = {"lr": next(iter(begun.peaks)), **{f"lr/{name}": name for name in begun.peaks}}
    for key, group in groups.items():
        if isinstance(values.get(key), float):
            yield group, values[key]


def rate_trace(stage_dir: Path) -> RateTrace | None:
    """Return a training's learning rates; None: its folder holds no ledger of an attempt.

    Raises:
        StorageError: The ledger or the metrics cannot be read.
    """
    reading = read_ledger(stage_dir)
    begun = [entry for _, entry in reading.entries if isinstance(entry, Begun)] if reading else []
    if not begun:
        return None
    now = begun[-1]
    by_step: dict[int, dict[str, float]] = {}
    for record in read_metrics(stage_dir / METRICS_FILE):
        rates = dict(logged_rates(record, now))
        if rates:
            by_step[record["step"]] = rates
    return RateTrace(
        schedule=now.schedule,
        peaks=now.peaks,
        logged=sum(map(len, by_step.values())),
        rates=tuple(
            Rate(step=step, group=group, rate=rate, scheduled=scheduled(now, group, step))
            for step in _shown(list(by_step), now)
            for group, rate in by_step[step].items()
        ),
    )


def _shown(logged: list[int], begun: Begun) -> list[int]:
    """Return the logged steps nearest to those worth looking at."""
    settings = begun.settings()
    tenths = [round(part * settings.steps / _PARTS) for part in range(1, _PARTS + 1)]
    reached = max(logged, default=0)
    wanted = [1, settings.warmup_steps or 1, *(step for step in tenths if step <= reached), reached]
    if not logged:
        return []
    return sorted({min(logged, key=lambda step: abs(step - target)) for target in wanted})
