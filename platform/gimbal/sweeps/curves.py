"""What a trial's training has reached so far, read from its run's `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.sweeps.spec import AshaSettings
from gimbal.training.metrics import METRICS_FILE, MetricsTail, read_metrics

_VALIDATION = "val/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Which number of which stage early stopping looks at.

    Attributes:
        stage: The training stage's name.
        metric: Name in `metrics.jsonl`.
        sign: 1, or -1 where smaller is better.
    """

    stage: str
    metric: str
    sign: float

    @classmethod
    def by(cls, asha: AshaSettings, stage: str) -> Judged:
        """Return what a scheduler's settings name."""
        sign = 1.0 if asha.mode == "max" else -1.0
        return cls(stage=stage, metric=f"{_VALIDATION}{asha.metric}", sign=sign)

    def curve(self, run_dir: Path) -> dict[int, float]:
        """Return the number by optimizer step, larger is better; empty before the first."""
        path = run_dir / "stages" / self.stage / METRICS_FILE
        return dict(filter(None, map(self.point, read_metrics(path))))

    def names(self, run_dir: Path) -> tuple[str, ...]:
        """Return the names of the first validation's numbers; none before it."""
        for line in read_metrics(run_dir / "stages" / self.stage / METRICS_FILE):
            found = tuple(name for name in line["values"] if name.startswith(_VALIDATION))
            if found:
                return found
        return ()

    def point(self, line: Mapping[str, Any]) -> tuple[int, float] | None:
        """Return step and number of a line of metrics, or None where it has none."""
        value = line["values"].get(self.metric)
        return None if value is None else (int(line["step"]), self.sign * value)


class TrainingTail:
    """Reads what a trial's training adds to its metrics, each line once.

    Args:
        stage: The training stage's name; None: there is nothing to read.
        judged: What early stopping looks at.
    """

    def __init__(self, stage: str | None, judged: Judged | None) -> None:
        self._stage = stage
        self._judged = judged
        self._tail: MetricsTail | None = None
        self._run_dir: str | None = None
        self.step = 0
        self.points: dict[int, float] = {}
        """Every judged number so far, by step, larger is better."""

    def look(self, run_dir: str | None) -> None:
        """Take in what is new."""
        if run_dir is None or self._stage is None:
            return
        if self._tail is None or run_dir != self._run_dir:
            self._run_dir = run_dir
            self._tail = MetricsTail(Path(run_dir) / "stages" / self._stage / METRICS_FILE)
        for line in self._tail.new():
            self.step = int(line["step"])
            point = self._judged.point(line) if self._judged else None
            if point is not None:
                self.points[point[0]] = point[1]


def last_step(run_dir: Path, stage: str) -> int:
    """Return the last optimizer step that a run's training has written down; 0: none yet."""
    lines = list(read_metrics(run_dir / "stages" / stage / METRICS_FILE))
    return int(lines[-1]["step"]) if lines else 0
