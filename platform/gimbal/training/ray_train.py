"""The Ray Train group: its process group, its retries and its end.

Ray Train decides how often to retry but not whether it can help. `FailureWatch` adds that: it runs
in Ray Train's controller, and raising there ends the run at once.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ray.exceptions import RayActorError
from ray.train import (
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    UserCallback,
)
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError

from gimbal.experiment.settings import Resources
from gimbal.training.failures import WorkerFailure, code_failures, judge
from gimbal.training.orders import Orders, work_under_ray_train
from gimbal.training.reservation import Reservation
from gimbal.training.reserved_group import InReservation

_MINUTES_TO_WAIT = 60
"""Starts, a minute each, a group waits for room that other work holds."""


class _FollowsDevice(_TorchBackend):
    """Chooses NCCL where every worker sees a CUDA device, and gloo elsewhere.

    Ray's own choice follows the GPUs that were asked for, which need not be real.
    """

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        cuda = all(worker_group.execute(_sees_cuda))
        super().on_start(worker_group, replace(backend_config, backend="nccl" if cuda else "gloo"))


def _sees_cuda() -> bool:
    """Return whether this worker has CUDA; the first thing to ask it anything."""
    # Ray's numbers of GPUs are NVML's; CUDA reads this once, and by default puts the fastest first.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return torch.cuda.is_available()


@dataclass
class DeviceConfig(TorchConfig):
    """A process group on whatever the workers really have."""

    @property
    def backend_cls(self) -> type[_FollowsDevice]:
        """The backend Ray Train sets up."""
        return _FollowsDevice


class FailureWatch(UserCallback):
    """Ends a run whose failure will come again; lives in Ray Train's controller."""

    def __init__(self) -> None:
        self._seen: list[WorkerFailure] = []

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
        """Judge the failures of one attempt.

        Raises:
            WorkerFailure: To end the run.
        """
        now = {rank: _own(error) for rank, error in worker_exceptions.items()}
        verdict = judge(now, self._seen)
        if verdict.stop is not None:
            raise verdict.stop
        self._seen.extend(code_failures(now))


def _own(error: Exception) -> Exception:
    """Return what our code raised, out of Ray Train's wrapping."""
    inner = getattr(error, "_base_exc", error)
    return inner if isinstance(inner, Exception) else error


def fit(
    orders: Orders,
    resources: Resources,
    gpus: float,
    storage: Path,
    *,
    patient: bool,
    reservation: Reservation | None = None,
) -> dict[str, Any] | BaseException:
    """Run the group to its end.

    Args:
        orders: What every worker is told.
        resources: Their number and size.
        gpus: GPUs of each.
        storage: Folder for Ray Train's own files.
        patient: Wait for room that other work holds now; else give up after a minute or two.
        reservation: The cards to work on; None: any.

    Returns:
        The first worker's numbers, or the error that ended the run.
    """
    cpus = {} if reservation else {"CPU": resources.cpus_per_worker}
    each = {**cpus, **({"GPU": gpus} if gpus else {})}
    limit = 0 if reservation else _MINUTES_TO_WAIT if patient else 1
    callbacks = [FailureWatch(), *([InReservation(reservation)] if reservation else [])]
    trainer = TorchTrainer(
        work_under_ray_train,  # type: ignore[arg-type]
        train_loop_config={"orders": orders},
        torch_config=DeviceConfig(),
        scaling_config=ScalingConfig(
            num_workers=resources.workers, use_gpu=gpus > 0, resources_per_worker=each
        ),
        run_config=_run_config(
            storage, callbacks, lost_workers=resources.max_worker_failures, lost_starts=limit
        ),
    )
    try:
        result = trainer.fit()
    except WorkerGroupError as error:
        return _chosen(error)
    except ControllerError as error:
        return error.controller_failure
    except (TrainingFailedError, RayActorError) as error:
        return error
    numbers: dict[str, Any] = result.return_value  # type: ignore[attr-defined]
    return numbers


def _run_config(
    storage: Path, callbacks: list[Any], *, lost_workers: int, lost_starts: int
) -> RunConfig:
    # Ray's stubs describe the first version of Ray Train.
    failures: dict[str, Any] = {
        "max_failures": lost_workers,
        "controller_failure_limit": lost_starts,
    }
    options: dict[str, Any] = {
        "callbacks": callbacks,
        # Every failure is told by us, in words; Ray would add its tracebacks.
        "logging_config": LoggingConfig(log_level="CRITICAL"),
    }
    return RunConfig(
        name=uuid.uuid4().hex[:8],
        storage_path=str(storage),
        failure_config=FailureConfig(**failures),
        **options,
    )


def _chosen(error: WorkerGroupError) -> BaseException:
    """Return the failure that says most: the code's before a lost connection."""
    failures = [_own(e) for e in error.worker_failures.values()]
    own = [f for f in failures if isinstance(f, WorkerFailure)]
    telling = [f for f in own if f.kind.value != "peer"]
    lost = [f for f in failures if not isinstance(f, WorkerFailure)]
    return (telling or lost or own or [error])[0]
