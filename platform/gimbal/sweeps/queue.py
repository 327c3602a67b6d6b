"""Which trial comes next, and what is learned when one ends.

Everything is rebuilt from the trials' files when a sweep is resumed, so there is no state that a
kill could lose: a trial that ended is not tried again, one that began goes on first, in its old
place and with its old run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from gimbal.experiment.sweep_record import TrialRecord, TrialStatus
from gimbal.sweeps.space import Axis, Point
from gimbal.sweeps.spec import SweepSpec
from gimbal.sweeps.tpe import Curve, Tpe
from gimbal.sweeps.trials import Trial, points_of, trials_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a trial ended.

    Attributes:
        status: A terminal status.
        metric: The sweep's metric, if it has one.
        curve: The scheduler's metric by step, larger is better.
    """

    status: TrialStatus
    metric: float | None = None
    curve: Curve = field(default_factory=dict)


class TrialQueue:
    """The trials of a sweep in their order.

    Args:
        spec: The sweep.
        axes: Its space.
        known: The trials of earlier starts.
        curves: What the earlier ones among them had reached, by trial number.
    """

    def __init__(
        self,
        spec: SweepSpec,
        axes: Sequence[Axis],
        known: Sequence[TrialRecord] = (),
        curves: Mapping[int, Curve] | None = None,
    ) -> None:
        self._spec = spec
        self._known = {record.number: record for record in known}
        listed = points_of(spec, axes)
        self._total = len(listed) if listed is not None else spec.samples or 0
        tried = _points_tried(known, len(spec.seeds))
        self._points = dict(enumerate(listed)) if listed is not None else tried
        self._guide = None if listed is not None else _Guide(spec, axes, self._points)
        for record in known:
            if record.status.is_terminal:
                curve = (curves or {}).get(record.number, {})
                how = Ended(status=record.status, metric=record.metric, curve=curve)
                self.ended(record.number, how)
        if self._guide is not None:
            self._guide.reopen()
        self._trials = self._remaining()

    @property
    def total(self) -> int:
        """All trials of the sweep."""
        return self._total * len(self._spec.seeds)

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        ended = (r for r in self._known.values() if r.status.is_terminal)
        return self.total - sum(record.number < self.total for record in ended)

    def next(self) -> Trial | None:
        """Return the next trial, or None when there is none left."""
        return next(self._trials, None)

    def ended(self, number: int, how: Ended) -> None:
        """Learn that a trial ended."""
        if self._guide is not None:
            self._guide.ended(number, how)

    def _remaining(self) -> Iterator[Trial]:
        for index in range(self._total):
            if index not in self._points and self._guide is not None:
                self._points[index] = self._guide.ask()
            for trial in trials_of(index, self._points[index], self._spec.seeds):
                known = self._known.get(trial.number)
                if known is None or not known.status.is_terminal:
                    yield trial


class _Guide:
    """Keeps TPE informed of whole points: their mean over the seeds."""

    def __init__(self, spec: SweepSpec, axes: Sequence[Axis], points: dict[int, Point]) -> None:
        self._seeds = len(spec.seeds)
        self._sign = 1.0 if spec.mode == "max" else -1.0
        self._tpe = Tpe(axes, spec.search_seed, tried=len(points))
        self._points = points
        self._ended: dict[int, list[Ended]] = {}

    def reopen(self) -> None:
        """Count the points of earlier starts that have not ended as running."""
        for index, point in sorted(self._points.items()):
            if len(self._ended.get(index, ())) < self._seeds:
                self._tpe.reopen(point)

    def ask(self) -> Point:
        return self._tpe.ask()

    def ended(self, number: int, how: Ended) -> None:
        index = number // self._seeds
        of_point = self._ended.setdefault(index, [])
        of_point.append(how)
        if len(of_point) < self._seeds:
            return
        values = [e.metric for e in of_point if e.metric is not None and math.isfinite(e.metric)]
        stopped = [e.curve for e in of_point if e.status is TrialStatus.STOPPED]
        mean = self._sign * fmean(values) if values and not stopped else None
        self._tpe.tell(self._points[index], mean, stopped[0] if stopped else None)


def _points_tried(known: Sequence[TrialRecord], seeds: int) -> dict[int, Point]:
    """Return the points that earlier starts invented, by their place in the sweep."""
    points: dict[int, Point] = {}
    for record in known:
        points.setdefault(record.number // seeds, record.overrides)
    return points
