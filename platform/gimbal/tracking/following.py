"""Reads what a training stage appends to its metrics file, each point once.

A training run that resumes from an earlier checkpoint cuts its file back and computes some steps
again. Two things keep those from being sent twice: the bytes just before the remembered offset
must still be there (else reading starts over), and of each metric only steps above the highest one
already read are taken. The trajectory is the same after a resume, so nothing is lost by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import BaseModel

from gimbal.tracking import flattening

_TAIL_BYTES = 64
_EPOCH_S = 1e9
"""A `time_s` above this is a date, below it the time since the stage began."""


class Point(NamedTuple):
    """One number of one metric."""

    name: str
    value: float
    at_ms: int
    step: int


class FollowState(BaseModel):
    """How far a metrics file was read.

    Attributes:
        base_ms: When following began; relative times count from here.
        active: False once the stage ended.
        offset: Bytes read.
        tail: The bytes just before `offset`, as Latin-1.
        marks: Highest step read of each metric.
    """

    base_ms: int
    active: bool = True
    offset: int = 0
    tail: str = ""
    marks: dict[str, int] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """New points of a file, and the state that makes them old."""

    points: tuple[Point, ...]
    state: FollowState


def read_new(path: Path, state: FollowState, max_points: int) -> Reading:
    """Return the next points of a metrics file.

    Args:
        path: JSON lines of `{"step": int, "time_s": float, "values": {name: number}}`.
        state: What was read before.
        max_points: Stop after the line that reaches this many.
    """
    points: list[Point] = []
    marks = dict(state.marks)
    try:
        with path.open("rb") as file:
            offset = _resume_at(file, state)
            for line in _complete_lines(file):
                offset += len(line)
                points.extend(_new_points(line, state.base_ms, marks))
                if len(points) >= max_points:
                    break
            tail = _tail(file, offset)
    except OSError:
        return Reading(points=(), state=state)
    new_state = state.model_copy(update={"offset": offset, "tail": tail, "marks": marks})
    return Reading(points=tuple(points), state=new_state)


def _resume_at(file: IO[bytes], state: FollowState) -> int:
    offset = state.offset
    if offset and _tail(file, offset) != state.tail:
        offset = 0
    file.seek(offset)
    return offset


def _tail(file: IO[bytes], offset: int) -> str:
    start = max(0, offset - _TAIL_BYTES)
    file.seek(start)
    return file.read(offset - start).decode("latin-1")


def _complete_lines(file: IO[bytes]) -> Iterator[bytes]:
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield line


def _new_points(line: bytes, base_ms: int, marks: dict[str, int]) -> Iterator[Point]:
    try:
        row = json.loads(line)
        step = int(row["step"])
        seconds = float(row.get("time_s", 0.0))
        values = flattening.metrics(row["values"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    at_ms = int(seconds * 1000) if seconds > _EPOCH_S else base_ms + int(seconds * 1000)
    for name, value in values.items():
        if step > marks.get(name, -1):
            marks[name] = step
            yield Point(name, value, at_ms, step)
