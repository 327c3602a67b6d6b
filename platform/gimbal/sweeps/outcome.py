"""What a sweep found, from its trials' files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from gimbal.experiment.sweep_record import SweepFolder, SweepRecord, TrialRecord, TrialStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The best point of a sweep.

    Attributes:
        config: The values of the axes.
        seeds: The seeds whose trials finished.
        metric: Mean of the metric over those seeds.
        trial: The best of its trials.
    """

    config: dict[str, Any]
    seeds: tuple[int, ...]
    metric: float
    trial: TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOutcome:
    """A sweep that ended, or that this process leaves.

    Attributes:
        folder: The sweep's folder.
        record: How it stands.
        trials: Its trials, by number.
        best: Its best point; None: no trial finished.
        comparison: The page that compares the trials; None: there was nothing to compare.
    """

    folder: SweepFolder
    record: SweepRecord
    trials: tuple[TrialRecord, ...]
    best: Best | None
    comparison: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for `--json`."""
        best = self.best
        return {
            "sweep": f"{self.record.name}/{self.record.id}",
            "sweep_dir": str(self.folder.path.absolute()),
            "status": str(self.record.status),
            "metric": self.record.metric,
            "mode": self.record.mode,
            "best": None
            if best is None
            else {
                "config": best.config,
                "seeds": list(best.seeds),
                "metric": best.metric,
                "run_dir": best.trial.run_dir,
            },
            "trials": [trial.model_dump(mode="json") for trial in self.trials],
            "comparison": self.comparison,
            "spent_s": self.record.spent_s,
            "starts": self.record.starts,
        }


def best_of(
    trials: Sequence[TrialRecord], mode: Literal["max", "min"], seeds: Sequence[int]
) -> Best | None:
    """Return the best point by its mean over the seeds.

    A point some of whose seeds have not finished counts only where no point has all of its seeds:
    a lucky half must not beat a whole.
    """
    points: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        finished = trial.status is TrialStatus.FINISHED
        if finished and trial.metric is not None and math.isfinite(trial.metric):
            points.setdefault(repr(sorted(trial.overrides.items())), []).append(trial)
    whole = [group for group in points.values() if {t.seed for t in group} >= set(seeds)]
    found = [_best(group, mode) for group in (whole or points.values())]
    sign = 1.0 if mode == "max" else -1.0
    return max(found, key=lambda best: sign * best.metric, default=None)


def _best(group: Sequence[TrialRecord], mode: Literal["max", "min"]) -> Best:
    sign = 1.0 if mode == "max" else -1.0
    return Best(
        config=dict(group[0].overrides),
        seeds=tuple(trial.seed for trial in group),
        metric=fmean(trial.metric or 0.0 for trial in group),
        trial=max(group, key=lambda trial: sign * (trial.metric or 0.0)),
    )
