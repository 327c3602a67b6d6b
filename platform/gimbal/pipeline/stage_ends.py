"""What happens around a stage's own work: why it runs, its gates, and stages that always run.

Apart from `runner`, which decides what runs and when; nothing here touches the stage store.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import GateFailed
from gimbal.experiment.fingerprint import explain
from gimbal.experiment.plain import to_plain
from gimbal.experiment.run_finding import list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage, StageInputs, TaskStage
from gimbal.experiment.stage_store import StageKey, StageStore, StoredStage
from gimbal.pipeline.events import Observer
from gimbal.pipeline.recording import rows_fingerprint
from gimbal.pipeline.tasks import run_here
from gimbal.tracking.ports import StageTrackerPort, TrackerPort
from gimbal.training.metrics import METRICS_FILE
from gimbal.training.stage import TrainStage

REPORT = "report.html"
_CHANGES_SHOWN = 3


def why_it_runs(store: StageStore, key: StageKey, run: RunFolder) -> str:
    """Return what changed since this stage was last built; empty where it never was."""
    previous = store.previous(key, _earlier_fingerprint(key, run))
    if previous is None:
        return ""
    changes = explain(previous.record.parts, key.fingerprint.parts)
    more = len(changes) - _CHANGES_SHOWN
    return "; ".join(changes[:_CHANGES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _earlier_fingerprint(key: StageKey, run: RunFolder) -> str | None:
    """Return what the newest other run of this experiment used for a stage."""
    experiment = run.path.parent
    for entry in list_runs(experiment.parent, key.workload):
        if entry.experiment == experiment.name and entry.folder.id != run.id:
            found = entry.state.stages.get(key.stage) if entry.state else None
            if found is not None and found.fingerprint is not None:
                return found.fingerprint
    return None


def check_gates(
    stage: Stage, stored: StoredStage, tracker: TrackerPort, observer: Observer, *, reused: bool
) -> None:
    """Tell the tracker a stage's numbers and hold them against its gates.

    Raises:
        GateFailed: One was missed; all are told first.
    """
    tags = {
        "gimbal.reused": str(reused).lower(),
        "gimbal.fingerprint": stored.identity,
        "gimbal.data_fingerprint": rows_fingerprint(stored.path),
    }
    metrics = stored.record.metrics
    child = tracker.stage(stage.name, tags=tags)
    child.metrics(metrics)
    tracker.metrics({stage.name: metrics})  # MLflow's table sorts runs by it
    if isinstance(stage, TrainStage):
        child.follow(stored.path / METRICS_FILE)
        child.checkpoints(stored.path / "checkpoints" / "index.json")
    failed = _first_missed(stage, metrics, child, observer)
    child.finish("failed" if failed else "reused" if reused else "finished")
    if failed:
        raise failed


def _first_missed(
    stage: Stage, metrics: Mapping[str, Any], child: StageTrackerPort, observer: Observer
) -> GateFailed | None:
    """Check and tell all gates of a stage; return the first that was missed."""
    failed = None
    for gate in stage.gates:
        result = gate.check(metrics)
        observer.gate_checked(stage.name, result)
        child.gate(result)
        if not result.passed and failed is None:
            failed = GateFailed(f"gate {stage.name}/{gate.name}: {result.message}", gate.hint)
    return failed


def run_always(
    stage: TaskStage,
    inputs: StageInputs,
    folder: Path,
    tracker: TrackerPort,
    observer: Observer,
) -> tuple[dict[str, Any], float, GateFailed | None]:
    """Run a stage that is never reused, in this process.

    Returns:
        Its numbers, the seconds it took, and the first gate that was missed: its files are to be
        kept before that ends the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    observer.stage_started(stage.name, "")
    began = time.monotonic()
    child = tracker.stage(stage.name, params=to_plain(stage.settings))
    try:
        metrics = run_here(
            stage,
            inputs,
            folder,
            progress=lambda done, total, words: observer.stage_progress(
                stage.name, done, total, words
            ),
        )
    except BaseException:
        child.finish("failed")
        raise
    child.metrics(metrics)
    tracker.metrics({stage.name: metrics})
    seconds = time.monotonic() - began
    observer.stage_finished(stage.name, seconds)
    failed = _first_missed(stage, metrics, child, observer)
    child.finish("failed" if failed else "finished")
    return metrics, seconds, failed


def keep_report(folder: Path, run: RunFolder) -> None:
    """Copy a stage's report to where the run's report is looked for."""
    if (folder / REPORT).exists():
        shutil.copyfile(folder / REPORT, run.report)
