"""What runs left behind when their process died or MLflow did not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gimbal.tracking import outbox
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


def mark_killed(run_dir: Path) -> None:
    """Record that the run and its open stages were killed: their process can no longer do so."""
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
