"""Stops a sweep whose metric, or early stopping's, is a name that nothing reports.

Which numbers a run reports is known only once it has run. So the first validation and the first
run that finishes are looked at: a wrong name there is wrong in every trial, and would cost the
whole sweep or switch early stopping off in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.nearest import nearest, nearest_key
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.curves import Judged
from gimbal.sweeps.plan import SweepPlan
from gimbal.sweeps.tuning import Leaving

_LISTED = 6


class MetricWatch:
    """Looks at trials that moved until both names are known to be right.

    Args:
        plan: The sweep.
        leaving: Gets the reason to stop.
    """

    def __init__(self, plan: SweepPlan, leaving: Leaving) -> None:
        self._plan = plan
        self._leaving = leaving
        self._judged: Judged | None = plan.judged
        self._metric_seen = False

    def moved(self, trial_id: str) -> None:
        """Look at a trial."""
        if self._leaving.now or (self._metric_seen and self._judged is None):
            return
        record = SweepFolder(self._plan.folder).trial(trial_id)
        if record is None:
            return
        if self._judged is not None and record.run_dir is not None:
            self._look_at_validation(self._judged, Path(record.run_dir))
        if not self._metric_seen and self._leaving.problem is None:
            self._look_at_end(record)

    def _look_at_validation(self, judged: Judged, run_dir: Path) -> None:
        names = judged.names(run_dir)
        if judged.metric in names:
            self._judged = None
        elif names:
            plain = [name.partition("/")[2] for name in names]
            wanted = judged.metric.partition("/")[2]
            near = nearest(wanted, plain) or plain
            self._leaving.problem = ConfigError(
                f"scheduler.metric: the training validates no number {wanted!r}, so nothing could "
                "be stopped early",
                f"it validates {', '.join(near[:_LISTED])}; start a new sweep (finished stages are "
                "not run again)",
            )

    def _look_at_end(self, record: TrialRecord) -> None:
        self._metric_seen = record.metric is not None
        if record.status is not TrialStatus.FAILED or record.metric is not None:
            return
        metrics = _finished_metrics(record)
        stage = self._plan.metric.partition(".")[0]
        names = list(_names(stage, (metrics or {}).get(stage, {})))
        if metrics is None or self._plan.metric in names:  # a name that is there may hold a NaN
            return
        near = nearest_key(self._plan.metric, names, count=3) or names
        self._leaving.problem = ConfigError(
            f"metric: the first run that finished, {record.run_dir}, reported no number "
            f"{self._plan.metric}",
            f"{stage} reports {', '.join(near[:_LISTED]) or 'no number'}; start a new sweep "
            "(finished stages are not run again)",
        )


def _finished_metrics(record: TrialRecord) -> dict[str, Any] | None:
    """Return the metrics of a trial's run by stage; None: it did not come to its end."""
    if record.run_dir is None:
        return None
    try:
        state = RunFolder(Path(record.run_dir)).state()
    except GimbalError:
        return None
    if state.status is not RunStatus.FINISHED:
        return None
    return {name: stage.metrics for name, stage in state.stages.items()}


def _names(path: str, value: Any) -> Iterator[str]:
    """Yield the dotted paths of what may be a number in a tree."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _names(f"{path}.{name}", inner)
    elif not isinstance(value, str | list | bool):
        yield path
