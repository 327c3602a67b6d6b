"""Sends what running stages write to their own files: metrics and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gimbal.tracking import checkpoint_index, flattening
from gimbal.tracking.checkpoint_index import CheckpointIndex
from gimbal.tracking.following import FollowState, read_new
from gimbal.tracking.state import CheckpointState, RunState
from gimbal.tracking.store import Store, StoreRefused


class FileWatcher:
    """Looks at the files of all open stages.

    Args:
        store: Where to send what is new.
        save: Called when the store took something and the run's state says so.
        say: Called with a sentence for the user.
    """

    def __init__(self, store: Store, save: Callable[[], None], say: Callable[[str], None]) -> None:
        self._store = store
        self._save = save
        self._say = say

    def poll(self, runs: Mapping[str, RunState]) -> bool:
        """Send what is new; return whether anything was."""
        found = [self._metrics(run) | self._checkpoints(run) for run in runs.values()]
        return any(found)

    def finish(self, run: RunState) -> None:
        """Send the rest of an ending stage, and its best checkpoint as an artifact."""
        while self._metrics(run):
            pass
        self._checkpoints(run)
        self._upload_best(run)
        for follow in run.follows.values():
            follow.active = False
        if run.checkpoints is not None:
            run.checkpoints.active = False

    def _metrics(self, run: RunState) -> bool:
        moved = [self._send_new(run, path) for path, f in run.follows.items() if f.active]
        return any(moved)

    def _send_new(self, run: RunState, path: str) -> bool:
        follow: FollowState = run.follows[path]
        reading = read_new(Path(path), follow, flattening.MAX_METRICS_PER_CALL)
        if reading.state == follow:
            return False
        if reading.points:
            try:
                self._store.log_metrics(run.run_id, reading.points)
            except StoreRefused as exc:
                self._say(f"MLflow refused numbers of {path}, which are left out: {exc}")
        run.follows[path] = reading.state
        self._save()
        return True

    def _checkpoints(self, run: RunState) -> bool:
        known = run.checkpoints
        index = checkpoint_index.read_index(Path(known.path)) if known and known.active else None
        if known is None or index is None or index.digest == known.digest:
            return False
        try:
            self._record(run.run_id, known, index)
        except StoreRefused as exc:
            self._say(f"MLflow refused the checkpoints of {known.path}: {exc}")
        known.digest = index.digest
        self._save()
        return True

    def _record(self, run_id: str, known: CheckpointState, index: CheckpointIndex) -> None:
        now = {f"{checkpoint_index.TAG}.{kept.name}": kept.tag_value() for kept in index.kept}
        best = {f"{checkpoint_index.TAG}.best": index.best.name} if index.best else {}
        self._store.set_tags(run_id, {**now, **best})
        self._store.drop_tags(run_id, [tag for tag in known.recorded if tag not in now])
        self._store.log_artifact(run_id, Path(known.path), "checkpoints/index.json")
        known.recorded = sorted(now)

    def _upload_best(self, run: RunState) -> None:
        known = run.checkpoints
        index = checkpoint_index.read_index(Path(known.path)) if known else None
        if known is None or index is None or index.best is None:
            return
        if known.uploaded == index.best.sha256:
            return
        name = f"checkpoints/{index.best.name}"
        try:
            self._store.log_artifact(run.run_id, index.best.path, name)
        except StoreRefused as exc:
            self._say(f"the best checkpoint could not be copied to MLflow: {exc}")
            return
        known.uploaded = index.best.sha256
        self._save()
