"""Remembers how a run ended, and what MLflow is told of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gimbal.errors import GimbalError
from gimbal.experiment.attempt import GpuContended, Preempted
from gimbal.experiment.freshness import submitted_code
from gimbal.experiment.plain import to_plain
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, StageStatus
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.sweep_record import TrialOf
from gimbal.pipeline.events import Observer
from gimbal.tracking.ports import TrackerPort
from gimbal.tracking.records import RunStatus as TrackedStatus
from gimbal.tracking.tracker import Tracker

_FLUSH_S = 30.0
_MANIFEST = "manifest.json"


def runs_folder(settings: ExperimentSettings) -> Path:
    """Return the folder of all runs, absolute.

    The working folder of a Ray job is a copy that Ray deletes, so there a relative folder counts
    from `~/gimbal`, which outlives the job.
    """
    folder = settings.platform.runs_dir.expanduser()
    if not folder.is_absolute() and submitted_code() is not None:
        return Path.home() / "gimbal" / folder
    return folder.absolute()


@contextlib.contextmanager
def recorded(folder: RunFolder) -> Iterator[None]:
    """Record in `run.json` how the block ended, whatever ends it."""
    try:
        yield
    except BaseException as error:
        _end(folder, *ending(error))
        raise
    _end(folder, RunStatus.FINISHED, "")


def ending(error: BaseException) -> tuple[RunStatus, str]:
    """Return how a run that ends by an error stands, and why."""
    if isinstance(error, KeyboardInterrupt):
        return RunStatus.INTERRUPTED, "stopped by the user"
    if isinstance(error, Preempted | GpuContended):  # nothing is wrong with the run itself
        return RunStatus.INTERRUPTED, error.message
    if isinstance(error, GimbalError):
        return RunStatus.FAILED, error.message
    return RunStatus.FAILED, f"{type(error).__name__}: {error}"


def _end(folder: RunFolder, status: RunStatus, message: str) -> None:
    with contextlib.suppress(GimbalError):
        for name, state in folder.state().stages.items():
            if state.status is StageStatus.RUNNING:
                update = {"status": StageStatus.FAILED, "message": message}
                folder.set_stage(name, state.model_copy(update=update))
        folder.finish(status, message)


@contextlib.contextmanager
def tracked(
    folder: RunFolder, settings: ExperimentSettings, runs_dir: Path, observer: Observer
) -> Iterator[TrackerPort]:
    """Tell MLflow about the run until the block ends, then deliver what a moment allows.

    A trial is named as its sweep names it and is delivered by its sweep.
    """
    trial = TrialOf.of(settings, runs_dir)
    tracker = Tracker.open(
        folder.path,
        settings.platform.tracking,
        runs_dir,
        experiment=settings.experiment,
        run_name=trial.name if trial else folder.id,
        params={key: value for key, value in to_plain(settings).items() if key != "sweep"},
        tags={"gimbal.run_id": folder.id, "gimbal.workload": settings.workload},
        on_warning=observer.notice,
        part_of=trial,
    )
    status: TrackedStatus = "failed"
    try:
        yield tracker
        status = "finished"
    except (KeyboardInterrupt, Preempted, GpuContended):
        status = "killed"
        raise
    finally:
        for path in (folder.config_file, folder.provenance_file, folder.report):
            if path.exists():
                tracker.artifact(path)
        tracker.finish(status)
        tracker.close(_FLUSH_S)


def rows_fingerprint(stage_dir: Path) -> str | None:
    """Return the fingerprint of a data stage's rows, None for other stages."""
    if not (stage_dir / _MANIFEST).exists():
        return None
    from gimbal.data.records import data_fingerprint

    return data_fingerprint(stage_dir)
