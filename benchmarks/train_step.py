"""Milliseconds per training step: Gimbal's loop against a bare torch DDP script.

Two workers, gloo, one thread each; same model, data, batches and optimizer. Without options both
loops run in the same two processes, in alternating blocks, so that a busy machine disturbs both
alike. With `--ray` Gimbal's side is `run_training` through Ray Train and the bare side a pair of
plain processes, run in turns.

    python benchmarks/train_step.py [--ray] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gimbal.experiment.settings import Resources, Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.keeping import Keeper
from gimbal.training.loop import Loop
from gimbal.training.metrics import MetricsWriter
from gimbal.training.order import SampleOrder
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.setup import build, quiet_torch
from gimbal.training.stage import TrainStage
from gimbal.training.world import World

WORKERS = 2
BLOCK = 25


@dataclass(frozen=True)
class Case:
    """A model and a batch; `features` go in, one number comes out."""

    name: str
    features: int
    hidden: int
    layers: int
    global_batch: int
    blocks: int

    def module(self) -> nn.Module:
        sizes = [self.features, *[self.hidden] * self.layers]
        body = [
            part
            for inside, outside in zip(sizes[:-1], sizes[1:], strict=True)
            for part in (nn.Linear(inside, outside), nn.GELU())
        ]
        return nn.Sequential(*body, nn.Linear(self.hidden, 1))


CASES = {
    "scorer": Case("scorer", 16, 64, 2, 2048, 40),
    "large": Case("large", 512, 1024, 4, 256, 5),
}


class Numbers:
    """Features and targets in memory."""

    def __init__(self, case: Case) -> None:
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(20_000, case.features)).astype(np.float32)
        self.y = self.x.sum(1, keepdims=True)

    def __len__(self) -> int:
        return len(self.x)

    def fetch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": self.x[indices], "y": self.y[indices]}


@dataclass
class Task:
    """Least squares."""

    case: Case

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module = self.case.module()
        return module, [{"params": list(module.parameters())}]

    def source(self, split: str) -> Numbers:
        return Numbers(self.case)

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        return {"square": ((module(batch["x"]) - batch["y"]).square().sum(), None)}

    def validate(self, module: nn.Module, source: Numbers) -> dict[str, float]:
        return {}


class Bare:
    """The loop one would write by hand."""

    def __init__(self, case: Case, rank: int, workers: int) -> None:
        torch.manual_seed(0)
        self.model = DistributedDataParallel(case.module(), gradient_as_bucket_view=True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.order = SampleOrder(20_000, case.global_batch, 0)
        self.data = Numbers(case)
        self.rank, self.workers = rank, workers

    def one_step(self, step: int) -> None:
        batch = self.data.fetch(self.order.share(step, self.rank, self.workers))
        x, y = torch.from_numpy(batch["x"]), torch.from_numpy(batch["y"])
        loss = (self.model(x) - y).square().mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def settings_of(case: Case) -> TrainSettings:
    steps = case.blocks * BLOCK
    return TrainSettings(
        steps=steps,
        global_batch=case.global_batch,
        gradient_report_every=steps,
        checkpoint_every=steps,
    )


def paired(rank: int, meeting: str, case: Case, out: Any) -> None:
    """Alternate blocks of both loops in this process."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    quiet_torch()
    plan = Plan(settings=settings_of(case), seed=0, out_dir=Path(meeting).parent / "run")
    world, task = World(rank=rank, size=WORKERS), Task(case)
    kit = build(task, plan, world)
    ours, bare = Loop(task, kit, plan, world), Bare(case, rank, WORKERS)
    Keeper(plan, kit, world).resume(ours.progress)
    if rank == 0:
        ours.metrics = MetricsWriter(plan.out_dir / "metrics.jsonl")
    ours.clock.start(0)
    times: dict[str, list[float]] = {"gimbal": [], "bare": []}
    for block in range(case.blocks):
        for name, one_step in (("gimbal", ours.one_step), ("bare", bare.one_step)):
            dist.barrier()
            for step in range(block * BLOCK, (block + 1) * BLOCK):
                begun = time.perf_counter()
                one_step(step)
                if block:
                    times[name].append(time.perf_counter() - begun)
    if rank == 0:
        out.put(times)
    dist.barrier()
    dist.destroy_process_group()


def bare_alone(rank: int, meeting: str, case: Case, out: Any) -> None:
    """The bare script as its own pair of processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    bare, times = Bare(case, rank, WORKERS), []
    for step in range(case.blocks * BLOCK):
        begun = time.perf_counter()
        bare.one_step(step)
        times.append(time.perf_counter() - begun)
    if rank == 0:
        out.put({"bare": times[BLOCK:]})
    dist.barrier()
    dist.destroy_process_group()


def in_pair(function: Any, case: Case) -> dict[str, list[float]]:
    """Run a function in two processes; return what the first one measured."""
    context = mp.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        out = context.SimpleQueue()
        members = [
            context.Process(target=function, args=(rank, f"{folder}/meeting", case, out))
            for rank in range(WORKERS)
        ]
        for member in members:
            member.start()
        found: dict[str, list[float]] = out.get()
        for member in members:
            member.join()
    return found


class CaseSettings(Settings):
    """Which case."""

    case: str


@dataclass(frozen=True, kw_only=True)
class CaseStage(TrainStage):
    """One case as a stage."""

    settings: CaseSettings

    @property
    def train(self) -> TrainSettings:
        return settings_of(CASES[self.settings.case])

    def task(self, inputs: StageInputs) -> Task:
        return Task(CASES[self.settings.case])


def through_ray(case: Case) -> float:
    """Return the median step of `run_training` with two Ray Train workers, in ms."""
    from gimbal.training.running import run_training

    with tempfile.TemporaryDirectory() as folder:
        stage = CaseStage(name=case.name, settings=CaseSettings(case=case.name))
        numbers = run_training(
            stage, {}, Path(folder), Resources(workers=WORKERS), progress=lambda *_: None
        )
    return float(numbers["step_ms"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=list(CASES), action="append")
    options = parser.parse_args()
    if options.ray:
        import ray
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    for name in options.case or CASES:
        case = CASES[name]
        ours, bare = [], []
        for _ in range(options.rounds):
            times = in_pair(bare_alone if options.ray else paired, case)
            bare.append(1e3 * median(times["bare"]))
            ours.append(through_ray(case) if options.ray else 1e3 * median(times["gimbal"]))
        ratio = median(o / b for o, b in zip(ours, bare, strict=True))
        figures = {"gimbal_ms": median(ours), "bare_ms": median(bare), "ratio": ratio}
        load = os.getloadavg()[0]
        rounded = {key: round(value, 3) for key, value in figures.items()}
        print(json.dumps({"case": name, "ray": options.ray, **rounded, "load": round(load, 1)}))


if __name__ == "__main__":
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    main()
