"""Tells MLflow about a run without ever waiting for it.

Every call appends a line to the run's outbox and returns; the courier, another process, delivers
(see `courier`). A run that is continued finds its outbox and continues the same MLflow runs.
"""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.settings import TrackingSettings
from gimbal.experiment.stage import GateResult
from gimbal.tracking import flattening, uris
from gimbal.tracking.clock import now_ms
from gimbal.tracking.courier_process import CourierProcess, courier_log
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
from gimbal.tracking.state import identify, remaining

Warn = Callable[[str], None]


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
        self._send(FollowMetrics(at_ms=now_ms(), run=self._run, path=str(path.absolute())))

    def gate(self, result: GateResult) -> None:
        """See `StageTrackerPort`."""
        verdict = "passed" if result.passed else "failed"
        self.tags({f"gate.{result.name}": f"{verdict}: {result.message}"})
        self.metrics({f"gate.{result.name}": float(result.passed)})

    def checkpoints(self, index: Path) -> None:
        """See `StageTrackerPort`."""
        self._send(WatchCheckpoints(at_ms=now_ms(), run=self._run, path=str(index.absolute())))


class Tracker(_RunTracker):
    """Tells MLflow about one run; made by `open`."""

    def __init__(
        self, run_dir: Path, runs_dir: Path, uri: str, sender: _Sender, on_warning: Warn
    ) -> None:
        super().__init__(sender, PARENT)
        self._run_dir = run_dir
        self._runs_dir = runs_dir
        self._uri = uri
        self._on_warning = on_warning
        self._courier: CourierProcess | None = None
        self._closing = threading.Lock()

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
    ) -> TrackerPort:
        """Start or continue the tracking of a run.

        Args:
            run_dir: The run folder, `runs_dir/<experiment>/<run id>`.
            settings: Whether and where.
            runs_dir: The folder of all runs; the store's default place.
            experiment: Name of the MLflow experiment.
            run_name: Readable name of the parent run.
            params: The config; it is flattened.
            tags: Facts such as `gimbal.run_id`, `gimbal.commit`.
            on_warning: Called with a sentence for the user, also from another thread.

        Raises:
            ConfigError: The configured store is one MLflow no longer supports.
        """
        if not settings.enabled:
            return NullTracker()
        uri = uris.resolve_uri(settings, runs_dir)
        try:
            identify(run_dir, uri, runs_dir)
            sender = _Sender(Outbox(run_dir), on_warning)
        except (OSError, StorageError) as exc:
            on_warning(f"this run is not tracked: {exc}")
            return NullTracker()
        tracker = cls(run_dir.absolute(), runs_dir.absolute(), uri, sender, on_warning)
        tracker._send(_opening(run_dir, experiment, run_name, params, tags))
        tracker._ensure_courier()
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
            params=flattening.params(params or {}),
            tags=flattening.tags(tags or {}),
        )
        self._send(opening)
        return StageTracker(self._sender, name)

    def close(self, timeout_s: float) -> int:
        """See `TrackerPort`. Safe to call twice."""
        with self._closing:
            waiting = remaining(self._run_dir)
            if self._courier is None and waiting == 0:
                return 0
            self._ensure_courier()
            if self._courier is not None:
                self._courier.close(timeout_s)
                self._courier = None
            self._sender.close()
            return self._report_remaining()

    def _ensure_courier(self) -> None:
        """Start a courier; also a second time when the first one was killed."""
        if self._courier is not None and self._courier.alive:
            return
        arguments = [str(self._run_dir), str(self._runs_dir)]
        try:
            self._courier = CourierProcess(
                arguments, self._uri, courier_log(self._run_dir), self._on_warning
            )
        except OSError as exc:
            self._on_warning(f"tracking could not be started ({exc}); records are kept for later")

    def _report_remaining(self) -> int:
        waiting = remaining(self._run_dir)
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
