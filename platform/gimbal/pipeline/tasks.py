"""Runs a `TaskStage` as one Ray task and relays its progress.

Progress travels through a small file in the stage's folder: the task and the driver share that
folder anyway, and a file survives either of them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import GimbalError, StageFailed
from gimbal.experiment.files import atomic_write_text, ensure_folder
from gimbal.experiment.provenance import note_packages
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal.pipeline.code import CodeIdentity
from gimbal.pipeline.worker_watch import AttemptWatch
from gimbal.training.hooks import NoWatch, WorkerContext, WorkerWatch
from gimbal.training.orders import ray_gpu_ids
from gimbal.training.reservation import Recheck, Reservation

_PROGRESS_FILE = ".progress.json"
_POLL_S = 0.25


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """Where a task runs and who watches it.

    Attributes:
        watch: Accompanies a task on a GPU.
        cards: The cards to work on; None: any that Ray has.
        retries: How often Ray starts it anew when its worker is lost.
    """

    watch: AttemptWatch | None = None
    cards: Reservation | None = None
    retries: int = 2

    def options(self, stage: TaskStage) -> dict[str, Any]:
        """Return Ray's options of the task.

        Raises:
            GimbalError: The cards are gone, or are too few.
        """
        options = {"num_cpus": stage.num_cpus, "num_gpus": stage.num_gpus}
        if self.cards is not None and stage.num_gpus:
            self.cards.require()
            options = self.cards.options(stage.num_gpus)
        return {**options, "max_retries": self.retries}


def run_task(
    stage: TaskStage,
    inputs: StageInputs,
    out_dir: Path,
    *,
    code: CodeIdentity,
    progress: Progress,
    place: TaskPlace | None = None,
) -> dict[str, Any]:
    """Run the stage on Ray and return its numbers.

    Raises:
        GimbalError: The one the stage raised.
        StageFailed: The stage broke; the traceback is kept in its folder.
    """
    import ray

    place = place or TaskPlace()
    remote = ray.remote(**place.options(stage))(_run_in_worker)
    reference = remote.remote(stage, dict(inputs), out_dir, code, place.watch)
    recheck = Recheck(place.cards if stage.num_gpus else None)
    try:
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            _relay(out_dir, progress)
            if place.cards is not None and recheck.lost():
                ray.cancel(reference, force=True)
                raise place.cards.gone()
        result: dict[str, Any] = ray.get(reference)
    except ray.exceptions.RayTaskError as exc:
        raise _translate(stage.name, exc, out_dir) from None
    except ray.exceptions.RayError as exc:
        raise StageFailed(
            f"stage '{stage.name}' lost its worker: {str(exc).splitlines()[0]}",
            "run the same command again; if it happens again, watch the memory of the machine",
        ) from exc
    finally:
        (out_dir / _PROGRESS_FILE).unlink(missing_ok=True)
    return result


def run_here(
    stage: TaskStage, inputs: StageInputs, out_dir: Path, *, progress: Progress
) -> dict[str, Any]:
    """Run a cheap stage in this process, with the same errors as on Ray."""
    try:
        return stage.run(inputs, out_dir, progress)
    except (GimbalError, OSError):
        raise
    except Exception as exc:  # the border to a workload's code: any bug there becomes one message
        import traceback

        raise _broken(stage.name, exc, traceback.format_exc(), out_dir) from exc


def _run_in_worker(
    stage: TaskStage,
    inputs: StageInputs,
    out_dir: Path,
    code: CodeIdentity,
    watch: AttemptWatch | None,
) -> dict[str, Any]:
    code.require()
    if watch is None:
        return _run_relayed(stage, inputs, out_dir, NoWatch())
    ids = ray_gpu_ids()
    with watch.over(WorkerContext(rank=0, workers=1, gpus=float(len(ids)), gpu_ids=ids)):
        return _run_relayed(stage, inputs, out_dir, watch)


def _run_relayed(
    stage: TaskStage, inputs: StageInputs, out_dir: Path, watch: WorkerWatch
) -> dict[str, Any]:
    path = out_dir / _PROGRESS_FILE
    last = 0.0

    def progress(done: int, total: int, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _POLL_S or done == total:
            last = now
            atomic_write_text(path, json.dumps([done, total, words]))

    result = stage.run(inputs, out_dir, progress)
    note_packages(out_dir, watch.cards())
    return result


def _relay(out_dir: Path, progress: Progress) -> None:
    try:
        done, total, words = json.loads((out_dir / _PROGRESS_FILE).read_text())
    except (OSError, ValueError):
        return
    progress(done, total, words)


def _translate(name: str, error: Any, out_dir: Path) -> GimbalError | OSError:
    cause = error.cause
    if isinstance(cause, GimbalError | OSError):
        return cause
    return _broken(name, cause, str(error), out_dir)


def _broken(name: str, cause: BaseException, trace: str, out_dir: Path) -> StageFailed:
    path = out_dir / "errors" / "traceback.txt"
    ensure_folder(path.parent)
    atomic_write_text(path, trace)
    return StageFailed(
        f"stage '{name}' broke: {type(cause).__name__}: {cause}",
        f"this is a bug in the stage; the traceback is in {path}",
    )
