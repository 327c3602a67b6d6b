"""The parts of a comparison that need no statistics: run by run, and over compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gimbal.comparison.grouping import Group
from gimbal.comparison.metrics import Metric
from gimbal.comparison.model import BestSoFar, Detail, RunLine
from gimbal.comparison.records import RunRecord
from gimbal.comparison.seed_rows import Pairs


def run_lines(
    runs: Sequence[RunRecord], groups: Sequence[Group], metric: Metric | None
) -> tuple[RunLine, ...]:
    """Return every run, in the order they were given."""
    group_of = {i: number for number, group in enumerate(groups) for i in group.runs}
    return tuple(
        RunLine(
            id=run.id,
            name=run.name,
            run_dir=str(run.path),
            status=run.state,
            seed=run.seed if run.config else None,
            group=group_of.get(i),
            value=metric.value(run) if metric else None,
            seconds=run.seconds,
            report=str(run.report) if run.report else None,
            message=run.problem,
            notes=run.notes,
        )
        for i, run in enumerate(runs)
    )


def best_so_far(runs: Sequence[RunRecord], metric: Metric | None) -> tuple[BestSoFar, ...]:
    """Return the best value after the seconds of all runs that had ended by then.

    Seconds are added over runs, also those of runs that failed or were stopped.
    """
    if metric is None:
        return ()
    spent, best = 0.0, None
    found: list[BestSoFar] = []
    ended = sorted((run for run in runs if run.ended_at), key=lambda run: str(run.ended_at))
    for run in ended:
        spent += run.seconds or 0.0
        value = metric.value(run)
        if value is None:
            continue
        if best is None or metric.sign * (value - best) > 0:
            best = value
        found.append(BestSoFar(seconds=spent, value=value, best=best, run=run.name))
    return tuple(found)


def detail(runs: Sequence[RunRecord], swaps: Mapping[int, Pairs]) -> Detail:
    """Return the curves of all runs, and each group's difference sample by sample."""
    curves: dict[str, dict[int, tuple[tuple[int, ...], tuple[float, ...]]]] = {}
    for position, run in enumerate(runs):
        for name, curve in run.curves.items():
            curves.setdefault(name, {})[position] = (curve.steps, curve.values)
    gaps = {number: pairs.gaps() for number, pairs in swaps.items()}
    return Detail(curves=curves, pairs={number: found for number, found in gaps.items() if found})
