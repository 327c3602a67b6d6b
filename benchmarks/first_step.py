"""Seconds from the call to the first training step: `run_training` against bare Ray Train.

Both on a Ray that already runs, two workers, the same small model, in turns. The bare side is the
shortest Ray Train script: prepare_model, one step, the time it was done. Gimbal's side does all it
always does: code check, checkpoint search, terms, guards, metrics.

    python benchmarks/first_step.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import ray
from gimbal.experiment import freshness
from gimbal.experiment.settings import Resources, Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.running import run_training
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from ray import cloudpickle

SIZES = (16, 64, 64, 1)
BATCH = 64


def network() -> Any:
    """Return the model of both sides."""
    from torch import nn

    layers: list[nn.Module] = []
    for inside, outside in zip(SIZES[:-1], SIZES[1:], strict=True):
        layers += [nn.Linear(inside, outside), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class Numbers:
    """Features in memory."""

    def __init__(self) -> None:
        self.x = np.random.default_rng(0).normal(size=(1000, SIZES[0])).astype(np.float32)

    def __len__(self) -> int:
        return len(self.x)

    def fetch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return rows."""
        return {"x": self.x[indices]}


class Task:
    """Least squares."""

    def build(self) -> tuple[Any, list[dict[str, Any]]]:
        """Return the model."""
        module = network()
        return module, [{"params": list(module.parameters())}]

    def source(self, split: str) -> Numbers:
        """Return the features."""
        return Numbers()

    def loss(self, module: Any, batch: dict[str, Any], step: int) -> dict[str, Any]:
        """Return the squared output."""
        return {"square": (module(batch["x"]).square().sum(), None)}

    def validate(self, module: Any, source: Numbers) -> dict[str, float]:
        """Measure nothing."""
        return {}


@dataclass(frozen=True, kw_only=True)
class OneStep(TrainStage):
    """A single step."""

    settings: Settings

    @property
    def train(self) -> TrainSettings:
        """One step."""
        return TrainSettings(steps=1, global_batch=BATCH)

    def task(self, inputs: StageInputs) -> Task:
        """Return the task."""
        return Task()


def gimbal(workers: int) -> float:
    """Return the seconds of `run_training`, the code check included."""
    digest = freshness.code_digest(("gimbal",))
    with tempfile.TemporaryDirectory() as folder:
        numbers = run_training(
            OneStep(name="one", settings=Settings()),
            {},
            Path(folder),
            Resources(workers=workers),
            progress=lambda *_: None,
            expected_digest=digest,
        )
    return float(numbers["first_step_s"])


def bare_loop(config: dict[str, float]) -> float:
    """Train one step by hand; return the time it was done."""
    import torch
    from ray.train.torch import prepare_model

    model = prepare_model(network())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = Numbers()
    model(torch.from_numpy(data.fetch(np.arange(BATCH // 2))["x"])).square().mean().backward()
    optimizer.step()
    return time.time()


def bare() -> float:
    """Return the seconds of the bare Ray Train script."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        result = TorchTrainer(
            bare_loop,
            train_loop_config={},
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=folder),
        ).fit()
    return float(result.return_value) - begun


def main() -> None:
    """Print one JSON line a comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(options.rounds):
        theirs.append(bare())
        ours.append(gimbal(2))
    alone = [gimbal(1) for _ in range(options.rounds)]
    ratio = median(o / t for o, t in zip(ours, theirs, strict=True))
    figures = {
        "gimbal_s": median(ours),
        "bare_s": median(theirs),
        "ratio": ratio,
        "gimbal_one_worker_s": median(alone),
        "load": os.getloadavg()[0],
    }
    print(json.dumps({key: round(value, 2) for key, value in figures.items()}))
    ray.shutdown()


if __name__ == "__main__":
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    main()
