"""Learning curves of a stored run, from the `metrics.jsonl` of its stages.

A curve is thinned while it is read: a page shows a few hundred points across, and two hundred runs
must open within seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
MAX_POINTS = 160
MAX_BYTES = 32 << 20
"""A longer file is read from its beginning only so far."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over optimizer steps, both of equal length."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


def read_curves(stages: Path, names: Sequence[str]) -> dict[str, Curve]:
    """Return every curve of a run, by `stage/name`; unreadable lines are left out."""
    curves: dict[str, Curve] = {}
    for name in names:
        for key, curve in _read_file(stages / name / METRICS_FILE).items():
            curves[f"{name}/{key}"] = curve
    return curves


def _read_file(path: Path) -> dict[str, Curve]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return {}
    found: dict[str, dict[int, float]] = {}
    for record in _records(data):
        step, values = record.get("step"), record.get("values")
        if isinstance(step, int) and isinstance(values, dict):
            for key, value in values.items():
                if key in found:
                    found[key][step] = value
                else:
                    found[key] = {step: value}
    curves = {key: _thinned(_numbers(points)) for key, points in found.items()}
    return {key: curve for key, curve in curves.items() if curve.steps}


def _numbers(points: dict[int, Any]) -> dict[int, float]:
    """Leave out what is no finite number; most curves hold nothing else."""
    if set(map(type, points.values())) <= {float, int} and all(map(math.isfinite, points.values())):
        return points
    return {
        step: value
        for step, value in points.items()
        if type(value) in (float, int) and math.isfinite(value)
    }


def _records(data: bytes) -> list[dict[str, Any]]:
    """Parse all lines at once, which is quicker; one by one where a line is torn."""
    lines = data.strip().split(b"\n")
    try:
        records = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        records = [record for line in lines if (record := _line(line)) is not None]
    return [record for record in records if isinstance(record, dict)]


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _thinned(points: dict[int, float]) -> Curve:
    """Keep at most `MAX_POINTS`, evenly spread, the first and the last among them."""
    steps = sorted(points)
    if len(steps) > MAX_POINTS:
        stride = (len(steps) - 1) / (MAX_POINTS - 1)
        steps = [steps[round(i * stride)] for i in range(MAX_POINTS)]
    return Curve(tuple(steps), tuple(points[step] for step in steps))
