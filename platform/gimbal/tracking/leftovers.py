"""What runs left behind when their process died or MLflow did not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gimbal.tracking import membership, outbox
from gimbal.tracking.clock import now_ms
from gimbal.tracking.outbox import Outbox
from gimbal.tracking.records import PARENT, Finish, OpenRun
from gimbal.tracking.state import Identity, load_identity, remaining


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
    """Record that a run, or a sweep and its trials, were killed: they can no longer do so."""
    _mark_one_killed(run_dir)
    mark_trials_killed(run_dir)


def mark_trials_killed(sweep_dir: Path) -> None:
    """Record that whatever trial of a sweep is still open was killed."""
    for run_dir, _ in membership.trials_of(sweep_dir):
        _mark_one_killed(run_dir)


def _mark_one_killed(run_dir: Path) -> None:
    if not _is_open(run_dir):
        return
    box = Outbox(run_dir)
    try:
        box.append(Finish(at_ms=now_ms(), status="killed"))
    finally:
        box.close()


def _is_open(run_dir: Path) -> bool:
    is_open = False
    for entry in outbox.read_entries(outbox.outbox_file(run_dir), 0):
        record = entry.record
        if isinstance(record, OpenRun):
            is_open = True
        elif isinstance(record, Finish) and record.run == PARENT:
            is_open = False
    return is_open
