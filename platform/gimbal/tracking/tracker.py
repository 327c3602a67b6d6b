"""Tells MLflow about a run without ever waiting for it.

Every call appends a line to the run's outbox and returns; the courier, another process, delivers
(see `courier`). A run that is continued finds its outbox and continues the same MLflow runs.

A sweep is tracked as a run is; its courier delivers its trials too, so a trial only writes.
"""

from __future__ import annotations

import contextlib
import getpass
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.settings import TrackingSettings
from gimbal.experiment.stage import GateResult
from gimbal.experiment.sweep_record import TrialOf
from gimbal.tracking import flattening, leftovers, uris
from gimbal.tracking.clock import now_ms
from gimbal.tracking.courier_keeping import CourierKeeper, courier_of
from gimbal.tracking.courier_process import courier_log
from gimbal.tracking.outbox import Outbox
from gimbal.tracking.ports import NullTracker, StageTrackerPort, TrackerPort
from gimbal.tracking.records import (
    PARENT,
    Finish,
    FollowMetrics,
    LogArtifact,
    LogMetrics,
    OpenRun,
    OpenStage,
    Record,
    RunStatus,
    SetTags,
    WatchCheckpoints,
)
from gimbal.tracking.state import identify, load_identity, store_uri

Warn = Callable[[str], None]
_PATIENCE_S = 2.0
"""How long the processes of a sweep's trials may take to die when it ends."""


class _Sender:
    """Puts records into the outbox; a full disk costs records and one warning, not the run."""

    def __init__(self, box: Outbox, on_warning: Warn) -> None:
        self._box = box
        self._on_warning = on_warning
        self._warned = False

    def send(self, record: Record) -> None:
        try:
            self._box.append(record)
        except (OSError, ValueError) as exc:
            if not self._warned:
                self._warned = True
                self._on_warning(f"tracking cannot write {self._box.path}: {exc}; the run goes on")

    def close(self) -> None:
        self._box.close()


class _RunTracker:
    """What the parent run and a stage's run have in common."""

    def __init__(self, sender: _Sender, run: str) -> None:
        self._sender = sender
        self._run = run

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """See `TrackerPort`."""
        numbers = flattening.metrics(values)
        if numbers:
            self._send(LogMetrics(at_ms=now_ms(), run=self._run, values=numbers, step=step or 0))

    def tags(self, values: Mapping[str, Any]) -> None:
        """See `TrackerPort`."""
        self._send(SetTags(at_ms=now_ms(), run=self._run, values=flattening.tags(values)))

    def artifact(self, path: Path, name: str | None = None) -> None:
        """See `TrackerPort`."""
        source = str(path.absolute())
        record = LogArtifact(at_ms=now_ms(), run=self._run, path=source, name=name or path.name)
        self._send(record)

    def finish(self, status: RunStatus) -> None:
        """See `TrackerPort`."""
        self._send(Finish(at_ms=now_ms(), run=self._run, status=status))

    def _send(self, record: Record) -> None:
        self._sender.send(record)


class StageTracker(_RunTracker):
    """Tells MLflow about one stage; see `StageTrackerPort`."""

    def follow(self, path: Path) -> None:
        """See `StageTrackerPort`."""
        for run in (self._run, PARENT):
            self._send(FollowMetrics(at_ms=now_ms(), run=run, path=str(path.absolute())))

    def gate(self, result: GateResult) -> None:
        """See `StageTrackerPort`."""
        verdict = "passed" if result.passed else "failed"
        self.tags({f"gate.{result.name}": f"{verdict}: {result.message}"})
        self.metrics({f"gate.{result.name}": float(result.passed)})

    def checkpoints(self, index: Path) -> None:
        """See `StageTrackerPort`."""
        self._send(WatchCheckpoints(at_ms=now_ms(), run=self._run, path=str(index.absolute())))


class Tracker(_RunTracker):
    """Tells MLflow about one run, trial or sweep; made by `open`."""

    def __init__(
        self,
        run_dir: Path,
        uri: str,
        sender: _Sender,
        on_warning: Warn,
        *,
        courier: CourierKeeper | None,
        trial: str = "",
    ) -> None:
        super().__init__(sender, PARENT)
        self._run_dir = run_dir
        self._uri = uri
        self._on_warning = on_warning
        self._courier = courier
        self._trial = trial
        self._closing = threading.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        run_dir: Path,
        settings: TrackingSettings,
        runs_dir: Path,
        *,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        on_warning: Warn,
        part_of: TrialOf | None = None,
    ) -> TrackerPort:
        """Start or continue the tracking of a run, a trial or a sweep.

        Args:
            run_dir: The run folder, `runs_dir/<experiment>/<run id>`, or a sweep's folder.
            settings: Whether and where.
            runs_dir: The folder of all runs; the store's default place.
            experiment: Name of the MLflow experiment.
            run_name: Readable name of the parent run.
            params: The config; it is flattened.
            tags: Facts such as `gimbal.run_id`, `gimbal.commit`.
            on_warning: Called with a sentence for the user, also from another thread.
            part_of: The sweep it is a trial of. A trial goes to its sweep's store, below its
                sweep's run, and the sweep's courier delivers it.

        Raises:
            ConfigError: The configured store is one MLflow no longer supports.
        """
        if not settings.enabled:
            return NullTracker()
        sweep = load_identity(part_of.folder) if part_of else None
        uri = store_uri(sweep, runs_dir) if sweep else uris.resolve_uri(settings, runs_dir)
        place = run_dir.absolute()
        try:
            identify(run_dir, uri, runs_dir, part_of.sweep if part_of and sweep else "")
            sender = _Sender(Outbox(run_dir), on_warning)
        except (OSError, StorageError) as exc:
            on_warning(f"this run is not tracked: {exc}")
            return NullTracker()
        courier = None
        if sweep is None:
            courier = courier_of(place, runs_dir.absolute(), uri, courier_log(run_dir), on_warning)
        trial = part_of.name if part_of else ""
        tracker = cls(place, uri, sender, on_warning, courier=courier, trial=trial)
        facts = {"gimbal.sweep": part_of.sweep, "gimbal.trial": trial} if part_of else {}
        tracker._send(_opening(run_dir, experiment, run_name, params, {**facts, **tags}))
        if courier is not None:
            courier.ensure()
        return tracker

    @property
    def uri(self) -> str:
        """See `TrackerPort`."""
        return self._uri

    def stage(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> StageTrackerPort:
        """See `TrackerPort`."""
        opening = OpenStage(
            at_ms=now_ms(),
            run=name,
            name=f"{name} · {self._trial}" if self._trial else "",
            params=flattening.params(params or {}),
            tags=flattening.tags(tags or {}),
        )
        self._send(opening)
        return StageTracker(self._sender, name)

    def close(self, timeout_s: float) -> int:
        """See `TrackerPort`. Safe to call twice; at once for a trial, whose sweep delivers it."""
        with self._closing:
            if self._closed:
                return self._waiting()
            self._closed = True
            if self._courier is None:
                self._sender.close()
                return self._waiting()
            with contextlib.suppress(OSError):
                leftovers.mark_dead_trials(self._run_dir, _PATIENCE_S)
            self._courier.close(timeout_s)
            self._sender.close()
            return self._report_remaining()

    def _waiting(self) -> int:
        return leftovers.remaining_with_trials(self._run_dir)

    def _report_remaining(self) -> int:
        waiting = self._waiting()
        if waiting:
            self._on_warning(
                f"{waiting} tracking records are not in MLflow ({uris.redacted(self._uri)}) yet; "
                f"they are kept in {self._run_dir / 'tracking'} and are delivered by the next run, "
                "by `gimbal runs sync` or when `gimbal ui` starts"
            )
        return waiting


def _opening(
    run_dir: Path,
    experiment: str,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, Any],
) -> OpenRun:
    facts = {
        "gimbal.run_dir": str(run_dir.absolute()),
        "mlflow.user": _user(),
        "mlflow.source.name": "gimbal",
        **tags,
    }
    return OpenRun(
        at_ms=now_ms(),
        experiment=experiment,
        name=run_name,
        params=flattening.params(params),
        tags=flattening.tags(facts),
    )


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
