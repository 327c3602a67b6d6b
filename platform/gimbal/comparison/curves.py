"""Learning curves of a stored run, from the `metrics.jsonl` of its stages.

A curve is thinned while it is read: a page shows a few hundred points across, and two hundred runs
must open within seconds.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of a run.

    Attributes:
        by_name: By `stage/name`.
        problem: Which files hold lines that cannot be read; empty: none.
    """

    by_name: Mapping[str, Curve]
    problem: str = ""


def read_curves(stages: Path, names: Sequence[str], ended: Container[str] = ()) -> Curves:
    """Return every curve of a run; unreadable lines are left out, and counted.

    Args:
        stages: The folder of the run's stages.
        names: The stages to read.
        ended: Those that are whole; the last line of any other may still be half written.
    """
    curves: dict[str, Curve] = {}
    problems = []
    for name in names:
        path = stages / name / METRICS_FILE
        found, damaged = _read_file(path, may_be_torn=name not in ended)
        curves |= {f"{name}/{key}": curve for key, curve in found.items()}
        if damaged:
            lines = "1 line" if damaged == 1 else f"{damaged} lines"
            problems.append(f"{path} is damaged: {lines} cannot be read")
    return Curves(curves, "; ".join(problems))


def _read_file(path: Path, *, may_be_torn: bool) -> tuple[dict[str, Curve], int]:
    """Return the curves of a file, and how many of its lines are damaged."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return {}, 0
    if (may_be_torn or len(data) == MAX_BYTES) and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
    found: dict[str, dict[int, float]] = {}
    damaged = 0
    for record in _records(data):
        step, values = _step_and_values(record)
        if step is None:
            damaged += 1
            continue
        for key, value in values.items():
            if key in found:
                found[key][step] = value
            else:
                found[key] = {step: value}
    curves = {key: _thinned(_numbers(points)) for key, points in found.items()}
    return {key: curve for key, curve in curves.items() if curve.steps}, damaged


def _step_and_values(record: Any) -> tuple[int | None, dict[str, Any]]:
    if not isinstance(record, dict):
        return None, {}
    step, values = record.get("step"), record.get("values")
    return (step, values) if isinstance(step, int) and isinstance(values, dict) else (None, {})


def _numbers(points: dict[int, Any]) -> dict[int, float]:
    """Leave out what is no finite number; most curves hold nothing else."""
    if set(map(type, points.values())) <= {float} and all(map(math.isfinite, points.values())):
        return points
    return {
        step: value
        for step, value in points.items()
        if type(value) in (float, int) and abs(value) <= sys.float_info.max
    }


def _records(data: bytes) -> list[Any]:
    """Parse all lines at once, which is quicker; one by one where a line is damaged."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    try:
        records = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        return [_line(line) for line in lines]
    return list(records)


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _thinned(points: dict[int, float]) -> Curve:
    """Keep at most `MAX_POINTS`, evenly spread, the first and the last among them."""
    steps = sorted(points)
    if len(steps) > MAX_POINTS:
        stride = (len(steps) - 1) / (MAX_POINTS - 1)
        steps = [steps[round(i * stride)] for i in range(MAX_POINTS)]
    return Curve(tuple(steps), tuple(points[step] for step in steps))
