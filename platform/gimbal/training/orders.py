"""What the driver sends to its workers, and the functions it names to Ray.

The driver itself needs no torch: the modules that do are imported where the work is done.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.stage import StageInputs
from gimbal.training.hooks import WorkerContext, WorkerHook, WorkerWatch
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every worker is told.

    Attributes:
        settings: The training settings.
        seed: The experiment's seed.
        out_dir: The stage's folder, shared by all workers.
        largest: Samples of one forward pass; None: no limit.
        input_fingerprints: Of the stages the task reads, by name.
        started_at: Unix time at which the run was asked for.
    """

    settings: TrainSettings
    seed: int
    out_dir: Path
    largest: int | None = None
    input_fingerprints: tuple[tuple[str, str], ...] = ()
    started_at: float = 0.0

    def identity(self) -> dict[str, Any]:
        """Return everything that must be equal for a trajectory to go on; JSON values only."""
        identity: dict[str, Any] = json.loads(
            json.dumps(
                {
                    **self.settings.trajectory(),
                    "seed": self.seed,
                    **{f"input {name}": value for name, value in self.input_fingerprints},
                }
            )
        )
        return identity

    def fingerprint(self) -> str:
        """Return the hash of the identity."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the driver sends to every worker.

    Attributes:
        plan: What is trained.
        hooks: The worker's first acts.
        threads: CPU threads torch may use; None: as they are.
        stage: The pickled stage and its inputs, unpacked only after the hooks have passed.
        watch: Accompanies the worker; begins after the hooks.
    """

    plan: Plan
    hooks: tuple[WorkerHook, ...]
    threads: int | None
    stage: bytes
    watch: WorkerWatch | None = None


def packed(stage: TrainStage, inputs: StageInputs) -> bytes:
    """Pickle a stage and its inputs, classes of a script or notebook included."""
    from ray import cloudpickle

    content: bytes = cloudpickle.dumps((stage, dict(inputs)))  # type: ignore[no-untyped-call]
    return content


def unpacked(stage: bytes) -> tuple[TrainStage, StageInputs]:
    """Return the stage and inputs that `packed` was given."""
    content: tuple[TrainStage, StageInputs] = pickle.loads(stage)
    return content


def work_under_ray_train(config: dict[Any, Any]) -> dict[str, Any]:
    """Train as one worker of a Ray Train group; `config` holds the `orders`."""
    import ray.train

    from gimbal.training.worker import work

    context = ray.train.get_context()
    return work(config["orders"], _context(context.get_world_rank(), context.get_world_size()))


def work_alone(orders: Orders) -> dict[str, Any]:
    """Train as the only worker, in a Ray task."""
    from gimbal.training.worker import work

    return work(orders, _context(0, 1))


def work_here(orders: Orders) -> dict[str, Any]:
    """Train as the only worker, in this process."""
    from gimbal.training.worker import work

    return work(orders, WorkerContext(rank=0, workers=1, gpus=0.0))


def _context(rank: int, workers: int) -> WorkerContext:
    ids = ray_gpu_ids()
    return WorkerContext(rank=rank, workers=workers, gpus=float(len(ids)), gpu_ids=ids)


def ray_gpu_ids() -> tuple[str, ...]:
    """Return Ray's names of the GPUs it gave this worker."""
    import ray

    ids: Sequence[object] = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return tuple(str(name) for name in ids)
