"""What the page's drawings are made of, as plain values with five digits.

Python decides what is drawn: positions on the parallel axes, means and bands over seeds. The
browser only draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.comparison.grouping import shown
from gimbal.comparison.model import Comparison, GroupLine

_MANY_RUNS = 60
_FEW_POINTS = 60
_LOG_FROM = 30.0
"""An axis whose largest value is so many times its smallest is logarithmic."""
_TICKS = 6
_MAX_AXES = 10
Points = tuple[Sequence[int], Sequence[float]]


def payload(comparison: Comparison) -> dict[str, Any]:
    """Return everything `page.js` draws."""
    metric = comparison.metric
    return {
        "groups": [_group(group, comparison) for group in comparison.groups],
        "reference": comparison.reference,
        "metric": metric.model_dump() if metric else None,
        "curves": {name: _curve(c, comparison) for name, c in comparison.detail.curves.items()},
        "parallel": parallel(comparison),
        "pairs": {
            str(number): sorted(
                ([sample, short(gap)] for sample, gap in gaps.items()), key=lambda pair: pair[1]
            )
            for number, gaps in comparison.detail.pairs.items()
        },
        "best": [
            [short(step.seconds), short(step.value), short(step.best), step.run]
            for step in comparison.best_so_far
        ],
    }


def short(value: float) -> float:
    """Return a number with five significant digits."""
    return float(f"{value:.5g}")


def _group(group: GroupLine, comparison: Comparison) -> dict[str, Any]:
    gap = group.difference
    return {
        "label": group.label,
        "value": short(group.measured.value) if group.measured else None,
        "gap": short(gap.value) if gap else None,
        "runs": [comparison.runs[i].name for i in group.runs],
    }


def _curve(runs: Mapping[int, Points], comparison: Comparison) -> dict[str, Any]:
    few = len(comparison.runs) > _MANY_RUNS
    lines, means = [], []
    for group in comparison.groups:
        mine = [(i, _thin(runs[i]) if few else runs[i]) for i in group.runs if i in runs]
        lines += [
            {
                "g": group.number,
                "name": comparison.runs[i].name,
                "x": list(steps),
                "y": list(map(short, values)),
            }
            for i, (steps, values) in mine
        ]
        if len(mine) > 1:
            means.append({"g": group.number, **band([points for _, points in mine])})
    return {"lines": lines, "means": means}


def band(runs: Sequence[Points]) -> dict[str, Any]:
    """Return the mean over runs and the band between the lowest and the highest.

    It ends where the first run ends; values between logged steps are interpolated.
    """
    shortest = min(runs, key=lambda points: points[0][-1])
    begin = max(points[0][0] for points in runs)
    steps = [step for step in shortest[0] if step >= begin]
    table = np.stack([np.interp(steps, *points) for points in runs])
    rows = {"mean": table.mean(axis=0), "low": table.min(axis=0), "high": table.max(axis=0)}
    return {"x": steps, **{key: [short(v) for v in row.tolist()] for key, row in rows.items()}}


def _thin(points: Points) -> Points:
    steps, values = points
    if len(steps) <= _FEW_POINTS:
        return points
    stride = (len(steps) - 1) / (_FEW_POINTS - 1)
    kept = [round(i * stride) for i in range(_FEW_POINTS)]
    return [steps[i] for i in kept], [values[i] for i in kept]


def parallel(comparison: Comparison) -> dict[str, Any] | None:
    """Return the axes of the parallel coordinates, the metric last; None where nothing varies."""
    groups = [group for group in comparison.groups if group.measured is not None]
    if len(groups) < 2 or comparison.metric is None:
        return None
    axes = [_axis(key, [g.settings.get(key) for g in groups]) for key in comparison.axes]
    axes = [axis for axis in axes if len(axis["ticks"]) > 1][:_MAX_AXES]
    values = [group.measured.value for group in groups if group.measured]
    axes.append({**_number_axis(comparison.metric.path, values), "metric": True})
    return {"axes": axes, "groups": [group.number for group in groups]} if axes[:-1] else None


def _axis(key: str, values: Sequence[Any]) -> dict[str, Any]:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return _number_axis(key, [float(value) for value in values])
    words = list(dict.fromkeys(shown(value) for value in values))
    last = max(len(words) - 1, 1)
    places = {word: short(i / last) for i, word in enumerate(words)}
    return {
        "key": key,
        "at": [places[shown(value)] for value in values],
        "ticks": [[at, word] for word, at in places.items()],
    }


def _number_axis(key: str, values: Sequence[float]) -> dict[str, Any]:
    low, high = min(values), max(values)
    log = low > 0 and high / low >= _LOG_FROM
    scale = math.log if log else float

    def place(value: float) -> float:
        return (
            short((scale(value) - scale(low)) / (scale(high) - scale(low))) if high > low else 0.5
        )

    kinds = sorted(set(values))
    if len(kinds) > _TICKS:
        inner = np.linspace(scale(low), scale(high), 5).tolist()
        kinds = [math.exp(v) if log else v for v in inner]
    ticks = [
        [place(value), f"{value:.4g}" if len(set(values)) <= _TICKS else f"{value:.3g}"]
        for value in kinds
    ]
    return {"key": key, "at": [place(value) for value in values], "ticks": ticks, "log": log}
