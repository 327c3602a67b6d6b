"""Getting workers from Ray and bringing their result, or their error, home.

One worker is one Ray task: it starts in about a second, Ray starts it anew when it is killed, and
it takes up its last checkpoint. Several workers are a Ray Train group with torch's process group.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.exceptions import ActorDiedError, GetTimeoutError, RayError, RayTaskError

import ray
from gimbal.errors import GimbalError, StageFailed
from gimbal.experiment.settings import Resources
from gimbal.training.failures import WorkerFailure
from gimbal.training.orders import Orders, work_alone, work_here
from gimbal.training.reservation import Recheck, Reservation, require_bundles

logger = logging.getLogger(__name__)

RAY_TRAIN_FOLDER = ".ray-train"
_POLL_S = 0.25
_PATIENCE_S = 120.0
"""Time a cluster has to grow to what a worker wants; nodes that join take about a minute."""
_ENVIRONMENT = {
    # Two seconds by default: the time until a lost worker is noticed and a finished run ends.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Relative paths of a config mean the same in workers as in the driver.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def gpus_each(resources: Resources) -> float:
    """Return the GPUs to ask for per worker: with `auto`, one where there are enough."""
    if resources.gpus_per_worker != "auto":
        return resources.gpus_per_worker
    return 1.0 if _present().get("GPU", 0.0) >= resources.workers else 0.0


def _present() -> dict[str, float]:
    present: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return present


def lacking(resources: Resources) -> str | None:
    """Return what the cluster has too little of for these workers, in words, or None."""
    total = _present()
    for kind, each in (("CPU", resources.cpus_per_worker), ("GPU", gpus_each(resources))):
        wanted, present = each * resources.workers, total.get(kind, 0.0)
        if wanted > present:
            return f"{resources.workers} workers want {wanted:g} {kind}s, Ray has {present:g}"
    return None


def train_alone(
    orders: Orders,
    resources: Resources,
    watch: Callable[[], None],
    reservation: Reservation | None = None,
) -> dict[str, Any]:
    """Train in one Ray task.

    Args:
        orders: What the worker is told.
        resources: What it may use.
        watch: Called a few times a second while waiting.
        reservation: The card to work on; None: any.

    Raises:
        GimbalError: What ended the run.
    """
    place = (
        {"num_cpus": resources.cpus_per_worker, "num_gpus": gpus_each(resources)}
        if reservation is None
        else reservation.options(reservation.share, bundle=0)
    )
    # As a decorator: with GPUs Ray then ends the process after the call, and so frees its memory.
    task: Any = ray.remote(
        **place, max_retries=resources.max_worker_failures, retry_exceptions=False
    )(work_alone)
    reference = task.options(name="gimbal-train").remote(orders)
    try:
        return _awaited(reference, resources, watch, reservation)
    except KeyboardInterrupt:
        ray.cancel(reference, force=True)
        raise
    except RayTaskError as error:
        raise _told(error.cause, resources, reservation) from None
    except RayError as error:
        raise _lost(error, resources, reservation) from None


def _awaited(
    reference: Any,
    resources: Resources,
    watch: Callable[[], None],
    reservation: Reservation | None,
) -> dict[str, Any]:
    """Return the task's numbers; cancel it where it can never run."""
    give_up_at = time.monotonic() + _PATIENCE_S
    recheck = Recheck(reservation)
    while True:
        with contextlib.suppress(GetTimeoutError):
            numbers: dict[str, Any] = ray.get(reference, timeout=_POLL_S)
            return numbers
        watch()
        late = reservation is None and time.monotonic() > give_up_at
        if recheck.lost() or (late and lacking(resources) is not None):
            ray.cancel(reference, force=True)
            give_up_at = float("inf")


def train_here(orders: Orders, watch: Callable[[], None]) -> dict[str, Any]:
    """Train in this process, where no Ray runs; see `train_alone`.

    Raises:
        GimbalError: What ended the run.
    """
    try:
        with _watching(watch):
            return work_here(replace(orders, threads=None))
    except WorkerFailure as failure:
        raise failure.for_user() from None


def train_together(
    orders: Orders,
    resources: Resources,
    watch: Callable[[], None],
    reservation: Reservation | None = None,
) -> dict[str, Any]:
    """Train in a Ray Train group; see `train_alone`.

    Raises:
        GimbalError: What ended the run.
    """
    # Importing Ray Train takes seconds, and a single worker never needs it.
    from gimbal.training.ray_train import fit

    storage = orders.plan.out_dir / RAY_TRAIN_FOLDER
    if reservation is not None:
        require_bundles(reservation, resources.workers)
    gpus = gpus_each(resources) if reservation is None else reservation.share
    with _environment(), _watching(watch), _scratch(storage), _interrupt_kept():
        patient = reservation is None and lacking(resources) is None
        ended = fit(orders, resources, gpus, storage, patient=patient, reservation=reservation)
    if isinstance(ended, dict):
        return ended
    raise _told(ended, resources, reservation) from None


def _told(
    error: BaseException | None, resources: Resources, reservation: Reservation | None
) -> GimbalError:
    """Return what the user is told of a worker's error."""
    if isinstance(error, WorkerFailure):
        return error.for_user()
    if isinstance(error, GimbalError):
        return error
    return _lost(error, resources, reservation)


def _lost(
    error: BaseException | None, resources: Resources, reservation: Reservation | None
) -> GimbalError:
    if reservation is not None and not reservation.stands():
        return reservation.gone()
    missing = None if reservation is not None else lacking(resources)
    if missing is not None:
        return StageFailed(
            f"training found no place: {missing}",
            "lower resources.workers, cpus_per_worker or gpus_per_worker, or join more nodes",
        )
    if isinstance(error, ActorDiedError):
        return StageFailed(
            "training was interrupted: its controller ended",
            "run again to go on from the last checkpoint",
        )
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return StageFailed(
        f"training lost its workers more than max_worker_failures = "
        f"{resources.max_worker_failures} times ({reason})",
        "run again to go on from the last checkpoint; if memory ran out, lower "
        "resources.max_batch_per_worker",
    )


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Set Ray Train's switches for the time of a run, where the user has not."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _watching(watch: Callable[[], None]) -> Iterator[None]:
    """Call `watch` from a thread, since the main one waits for Ray Train."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(_POLL_S):
            watch()

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _scratch(storage: Path) -> Iterator[None]:
    """Give Ray Train a folder of its own and leave nothing of it."""
    shutil.rmtree(storage, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(storage, ignore_errors=True)


@contextlib.contextmanager
def _interrupt_kept() -> Iterator[None]:
    """Put back the handler of Ctrl-C, which Ray Train replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
