"""What runs left behind when their process died or MLflow did not answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from gimbal.errors import StorageError
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.tracking import membership, outbox
from gimbal.tracking.clock import now_ms
from gimbal.tracking.outbox import Outbox
from gimbal.tracking.records import PARENT, Finish, OpenRun
from gimbal.tracking.state import Identity, load_identity, remaining

_LOOK_S = 0.2


def runs_with_leftovers(runs_dir: Path) -> Iterator[tuple[Path, Identity]]:
    """Yield the runs, `runs_dir/<experiment>/<run>`, of which MLflow lacks something."""
    for marker in sorted(runs_dir.glob(f"*/*/{outbox.FOLDER}/{outbox.FILE}")):
        run_dir = marker.parent.parent
        identity = load_identity(run_dir)
        if identity is not None and remaining(run_dir) > 0:
            yield run_dir, identity


def remaining_with_trials(run_dir: Path) -> int:
    """Return how many records of a run, or of a sweep and its trials, MLflow does not have yet."""
    trials = membership.trials_of(run_dir)
    return remaining(run_dir) + sum(remaining(trial) for trial, _ in trials)


def mark_killed(run_dir: Path) -> None:
    """Record that a run or sweep and its open stages were killed: it can no longer do so."""
    if not _is_open(run_dir):
        return
    box = Outbox(run_dir)
    try:
        box.append(Finish(at_ms=now_ms(), status="killed"))
    finally:
        box.close()


def mark_dead_trials(sweep_dir: Path, patience_s: float) -> None:
    """Record that each open trial of a sweep whose process is dead was killed.

    Args:
        sweep_dir: The sweep's folder; a run's has no trials.
        patience_s: How long to wait for processes that are still dying; a trial that is a job of
            the service outlives its sweep, and is left alone.
    """
    deadline = time.monotonic() + patience_s
    left = [run_dir for run_dir, _ in membership.trials_of(sweep_dir)]
    while left := [run_dir for run_dir in left if _goes_on(run_dir)]:
        if time.monotonic() >= deadline:
            return
        time.sleep(_LOOK_S)


def _goes_on(run_dir: Path) -> bool:
    with contextlib.suppress(StorageError):
        if RunFolder(run_dir).state().status is RunStatus.RUNNING:
            return True
    mark_killed(run_dir)
    return False


def _is_open(run_dir: Path) -> bool:
    is_open = False
    for entry in outbox.read_entries(outbox.outbox_file(run_dir), 0):
        record = entry.record
        if isinstance(record, OpenRun):
            is_open = True
        elif isinstance(record, Finish) and record.run == PARENT:
            is_open = False
    return is_open
