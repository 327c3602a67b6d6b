"""Small tasks, and groups of worker processes without Ray."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gimbal.experiment.attempt import Preempted
from gimbal.training import reduction
from gimbal.training.collectives import global_mean_var
from gimbal.training.hooks import NoWatch
from gimbal.training.keyed import keyed_normal
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World


class ToySource:
    """Points in 6-D with a target and a mask, so that terms count different things."""

    def __init__(self, samples: int, dtype: type = np.float64) -> None:
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(samples, 6)).astype(dtype)
        self.y = np.sin(self.x.sum(1, keepdims=True)).astype(dtype)
        self.mask = generator.random((samples, 4)) < 0.5

    def __len__(self) -> int:
        return len(self.x)

    def fetch(self, indices: np.ndarray) -> dict[str, Any]:
        return {"x": self.x[indices], "y": self.y[indices], "mask": self.mask[indices]}


def counts(batch: dict[str, Any], step: int) -> dict[str, Any]:
    """What the two terms count."""
    return {"all": len(batch["x"]), "masked": batch["mask"].sum()}


def weights_at(step: int) -> dict[str, float]:
    """A weight that changes with the step."""
    return {"masked": 0.5 + 0.01 * step}


@dataclass
class Toy:
    """Two terms with batch-dependent counts; noise is drawn by sample."""

    samples: int = 37
    double: bool = True
    kind: str = "two"
    offers_counts: bool = False
    die_at: int = -1
    bad_steps: tuple[int, ...] = ()
    width: int = 16
    seen: list[int] = field(default_factory=list)
    plan_note: str = ""

    def __post_init__(self) -> None:
        self.uses_global_statistics = self.kind == "global"
        if self.offers_counts:
            self.counts = counts
        if self.kind == "two":
            self.term_weights = weights_at

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module = nn.Sequential(nn.Linear(6, self.width), nn.Tanh(), nn.Linear(self.width, 4))
        if self.double:
            module = module.double()
        first, last = list(module[0].parameters()), list(module[2].parameters())
        return module, [
            {"name": "first", "params": first, "lr": 3e-3},
            {"name": "last", "params": last},
        ]

    def source(self, split: str) -> ToySource:
        size = self.samples if split == "train" else 11
        return ToySource(size, np.float64 if self.double else np.float32)

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        self.seen.append(step)
        if step == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        x = batch["x"]
        noise = keyed_normal(5, step, batch["sample_ids"], (6,), dtype=x.dtype)
        error = (module(x + 0.01 * noise) - batch["y"]).square()
        if step in self.bad_steps:
            error = error * float("nan")
        if self.kind == "one":
            return {"masked": ((error * batch["mask"]).sum(), batch["mask"].sum())}
        if self.kind == "samples":
            return {"all": (error.mean(1).sum(), None), "half": (error[:, :2].sum(), None)}
        if self.kind == "global":
            mean, variance = global_mean_var(error)
            scaled = (error - mean) / (variance + 1e-3).sqrt()
            return {"all": ((scaled.square() * batch["mask"] + error).sum(), None)}
        return {
            "all": (error.sum(), len(x)),
            "masked": ((error * batch["mask"]).sum(), batch["mask"].sum()),
        }

    def validate(self, module: nn.Module, source: Any) -> dict[str, float]:
        batch = source.fetch(np.arange(len(source)))
        x, y = torch.from_numpy(batch["x"]), torch.from_numpy(batch["y"])
        return {"loss": float((module(x) - y).square().mean())}


@dataclass(frozen=True)
class Job:
    """One run within a group of workers."""

    task: Toy
    settings: TrainSettings
    out_dir: Path
    largest: int | None = None
    seed: int = 3
    flat: bool = True
    """Whether gradients may lie in one piece of memory, as a small module's do."""
    leave_at: int = -1
    """Step before which the first worker, and no other, is asked to leave."""


@dataclass
class AskedAt(NoWatch):
    """Asks one worker to leave, as the file of a job service would."""

    step: int

    def at_step(self, step: int) -> bool:
        return step == self.step


def plan_of(job: Job) -> Plan:
    return Plan(settings=job.settings, seed=job.seed, out_dir=job.out_dir, largest=job.largest)


def train_alone(job: Job) -> dict[str, Any]:
    """Train in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return trained(job, World())
    finally:
        torch.set_num_threads(threads)


def trained(job: Job, world: World) -> dict[str, Any]:
    """Train as one worker, through the reduction the job wants."""
    limit = reduction.FLAT_BYTES
    reduction.FLAT_BYTES = limit if job.flat else 0
    try:
        watch = AskedAt(job.leave_at) if world.leads else None
        return train(job.task, plan_of(job), world, watch=watch)
    finally:
        reduction.FLAT_BYTES = limit


def _member(rank: int, size: int, meeting: str, jobs: list[Job], failures: Any) -> None:
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size
        )
        for job in jobs:
            task = job.task
            if task.die_at >= 0 and rank != size - 1:
                task.die_at = -1
            with contextlib.suppress(Preempted):
                trained(job, World(rank=rank, size=size))
        torch.distributed.destroy_process_group()
    except Exception:
        failures.put(f"worker {rank}: {traceback.format_exc()}")
        os._exit(1)


def start_group(size: int, jobs: list[Job], meeting: Path) -> tuple[list[Any], Any]:
    """Start a group of worker processes that trains the jobs one after the other."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "gimbal.training.worker"])
    failures = context.SimpleQueue()
    members = [
        context.Process(target=_member, args=(rank, size, str(meeting), jobs, failures))
        for rank in range(size)
    ]
    for member in members:
        member.start()
    return members, failures


def train_together(size: int, jobs: list[Job], meeting: Path) -> None:
    """Train in a group and wait; a failed worker fails the test."""
    members, failures = start_group(size, jobs, meeting)
    for member in members:
        member.join(120)
    assert failures.empty(), failures.get()
    assert [member.exitcode for member in members] == [0] * size
