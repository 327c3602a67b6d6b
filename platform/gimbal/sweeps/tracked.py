"""Tells MLflow about a sweep: one run above its trials' runs, and one courier for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from gimbal.experiment.plain import to_plain
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.sweep_record import SweepFolder, TrialRecord, TrialStatus
from gimbal.sweeps.events import SweepObserver
from gimbal.sweeps.outcome import Best
from gimbal.sweeps.spec import SweepSpec
from gimbal.tracking.ports import TrackerPort
from gimbal.tracking.records import RunStatus
from gimbal.tracking.tracker import Tracker

_FLUSH_S = 60.0


class SweepTracking:
    """The sweep's own MLflow run.

    Args:
        tracker: Where it goes.
        metric: The sweep's metric.
    """

    def __init__(self, tracker: TrackerPort, metric: str) -> None:
        self._tracker = tracker
        self._metric = metric
        self._status: RunStatus = "killed"

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        folder: SweepFolder,
        spec: SweepSpec,
        base: ExperimentSettings,
        observer: SweepObserver,
    ) -> Iterator[SweepTracking]:
        """Open it, before any trial does, until the block ends; then deliver what time allows."""
        tracker = Tracker.open(
            folder.path,
            base.platform.tracking,
            folder.runs_dir,
            experiment=spec.name,
            run_name=f"{spec.name} {folder.path.name.removeprefix('sweep-')}",
            params=to_plain(spec),
            tags={"gimbal.sweep": f"{spec.name}/{folder.path.name}", "gimbal.kind": "sweep"},
            on_warning=observer.notice,
        )
        tracking = cls(tracker, spec.metric)
        try:
            yield tracking
        finally:
            for path in (folder.spec_file, folder.comparison):
                if path.exists():
                    tracker.artifact(path)
            tracker.finish(tracking._status)
            tracker.close(_FLUSH_S)

    def ended(self, trials: Sequence[TrialRecord], best: Best | None, *, whole: bool) -> None:
        """Record what the sweep found, and whether all of its trials ended."""
        counts = {str(s): sum(t.status is s for t in trials) for s in TrialStatus}
        self._tracker.tags({f"trials.{name}": count for name, count in counts.items() if count})
        if best is not None:
            self._tracker.metrics({self._metric: best.metric})
            self._tracker.tags({"best.trial": best.trial.name, "best.run_dir": best.trial.run_dir})
        self._status = "finished" if whole else "killed"
