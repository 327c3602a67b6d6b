"""What a trial's training has reached so far, read from its run's `metrics.jsonl`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gimbal.sweeps.spec import AshaSettings, SweepSpec
from gimbal.training.metrics import METRICS_FILE, read_metrics


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
        return cls(stage=stage, metric=f"val/{asha.metric}", sign=sign)

    def curve(self, run_dir: Path) -> dict[int, float]:
        """Return the number by optimizer step, larger is better; empty before the first."""
        path = run_dir / "stages" / self.stage / METRICS_FILE
        return {
            int(line["step"]): self.sign * value
            for line in read_metrics(path)
            if (value := line["values"].get(self.metric)) is not None
        }


def last_step(run_dir: Path, stage: str) -> int:
    """Return the last optimizer step that a run's training has written down; 0: none yet."""
    lines = list(read_metrics(run_dir / "stages" / stage / METRICS_FILE))
    return int(lines[-1]["step"]) if lines else 0


def sign_of(spec: SweepSpec) -> float:
    """Return 1 where the sweep's metric is to be large, else -1."""
    return 1.0 if spec.mode == "max" else -1.0
