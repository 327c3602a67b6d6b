"""What MLflow costs: the training process a step, and the couriers a trial.

A step: one training loop that logs four numbers every step, in blocks that alternate between no
tracking at all, Gimbal's (the loop writes its `metrics.jsonl`, a running courier follows it), the
same numbers handed to the tracker itself, and the peer, `mlflow.log_metrics` in the loop, to the
same SQLite file. CPU time is that of the training process with all its threads.

A trial: the CPU time of the couriers when one delivers a whole sweep, against one for each run.

    python benchmarks/tracking_cost.py [--steps 1000] [--trials 16] [--alone 4]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from gimbal.experiment.settings import TrackingSettings
from gimbal.experiment.sweep_record import TrialOf
from gimbal.tracking import Tracker, TrackerPort
from gimbal.training.keeping import Keeper
from gimbal.training.loop import Loop
from gimbal.training.metrics import MetricsWriter
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.setup import build, quiet_torch
from gimbal.training.world import World

BLOCK = 100
VARIANTS = ("off", "gimbal", "gimbal_by_hand", "mlflow")
EXPERIMENT = "cost"
CLOSE_S = 600.0
SWEEP = "sweep-20260101-000000-abcd"


class Numbers:
    """Features in memory."""

    def __init__(self) -> None:
        self.x = np.random.default_rng(0).normal(size=(4096, 16)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.x)

    def fetch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": self.x[indices]}


class Task:
    """Least squares."""

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 1))
        return module, [{"params": list(module.parameters())}]

    def source(self, split: str) -> Numbers:
        return Numbers()

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        target = batch["x"].sum(1, keepdim=True)
        return {"square": ((module(batch["x"]) - target).square().sum(), None)}

    def validate(self, module: nn.Module, source: Numbers) -> dict[str, float]:
        return {}


def make_loop(folder: Path, steps: int) -> Loop:
    settings = TrainSettings(
        steps=steps,
        global_batch=256,
        log_every=1,
        gradient_report_every=steps,
        checkpoint_every=steps,
    )
    plan, world, task = Plan(settings=settings, seed=0, out_dir=folder), World(), Task()
    kit = build(task, plan, world)
    loop = Loop(task, kit, plan, world)
    Keeper(plan, kit, world).resume(loop.progress)
    loop.clock.start(0)
    return loop


def open_run(runs: Path, name: str, part_of: TrialOf | None = None) -> TrackerPort:
    folder = runs / EXPERIMENT / name
    folder.mkdir(parents=True)
    return Tracker.open(
        folder,
        TrackingSettings(uri=f"sqlite:///{runs}/mlflow.db"),
        runs,
        experiment=EXPERIMENT,
        run_name=name,
        params={"lr": 0.1},
        tags={},
        on_warning=print,
        part_of=part_of,
    )


def values_of(loop: Loop) -> dict[str, float]:
    """Return as many numbers as the loop itself logs."""
    return {"train/loss": loop.progress.loss, "lr": 1e-3, "grad_norm": 1.0, "samples_per_s": 1.0}


@dataclass
class Cost:
    """What blocks of one variant took, a step."""

    cpu_ms: list[float]
    wall_ms: list[float]


def per_step(steps: int) -> dict[str, Cost]:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder).resolve()
        open_run(runs, "first").close(CLOSE_S)  # sets the database up
        tracker = open_run(runs, "run")
        loop = make_loop(runs / EXPERIMENT / "run", steps * len(VARIANTS))
        writer = MetricsWriter(runs / EXPERIMENT / "run" / "metrics.jsonl")
        followed, by_hand = tracker.stage("followed"), tracker.stage("by-hand")
        followed.follow(runs / EXPERIMENT / "run" / "metrics.jsonl")
        mlflow.set_tracking_uri(f"sqlite:///{runs}/mlflow.db")
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run():
            log: dict[str, Callable[[int], object]] = {
                "off": lambda step: None,
                "gimbal": lambda step: None,
                "gimbal_by_hand": lambda step: by_hand.metrics(values_of(loop), step),
                "mlflow": lambda step: mlflow.log_metrics(values_of(loop), step=step),
            }
            costs = alternate(loop, writer, log, steps)
        writer.close()
        tracker.finish("finished")
        if tracker.close(CLOSE_S):
            raise SystemExit("the courier did not deliver everything")
    return costs


def alternate(
    loop: Loop, writer: MetricsWriter, log: dict[str, Callable[[int], object]], steps: int
) -> dict[str, Cost]:
    """Time blocks of every variant in turn; the first block of each is left out."""
    costs = {name: Cost([], []) for name in VARIANTS}
    step = 0
    for block in range(steps // BLOCK):
        for name in VARIANTS:
            loop.metrics = writer if name == "gimbal" else None
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(BLOCK):
                loop.one_step(step)
                log[name](step + 1)
                step += 1
            writer.flush()
            if block:
                costs[name].cpu_ms.append(1e3 * (time.process_time() - cpu) / BLOCK)
                costs[name].wall_ms.append(1e3 * (time.perf_counter() - wall) / BLOCK)
    return costs


def per_trial(trials: int, alone: int) -> dict[str, float]:
    """Return the couriers' CPU seconds a trial, with one for the sweep and one for each run."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder).resolve()
        open_run(runs, "first").close(CLOSE_S)
        began = children_cpu_s()
        sweep = open_run(runs, SWEEP)
        for number in range(trials):
            part_of = TrialOf(folder=runs / EXPERIMENT / SWEEP, name=f"lr={number}")
            one_trial(runs, f"trial-{number}", part_of)
        sweep.finish("finished")
        sweep.close(CLOSE_S)
        together = (children_cpu_s() - began) / trials
        began = children_cpu_s()
        for number in range(alone):
            one_trial(runs, f"run-{number}", None)
        return {"together_s": together, "alone_s": (children_cpu_s() - began) / alone}


def one_trial(runs: Path, name: str, part_of: TrialOf | None) -> None:
    """Two stages and a curve of 200 points of four numbers."""
    tracker = open_run(runs, name, part_of)
    file = runs / EXPERIMENT / name / "metrics.jsonl"
    values = {"train/loss": 1.0, "lr": 1e-3, "grad_norm": 1.0, "samples_per_s": 1.0}
    row = [{"step": step, "time_s": time.time(), "values": values} for step in range(200)]
    file.write_text("".join(json.dumps(line) + "\n" for line in row))
    train, evaluate = tracker.stage("train"), tracker.stage("evaluate")
    train.follow(file)
    train.finish("finished")
    evaluate.metrics({"gap_closed": 0.5})
    evaluate.finish("finished")
    tracker.finish("finished")
    tracker.close(CLOSE_S)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--alone", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_torch()
    costs = per_step(options.steps)
    bare = costs["off"]
    print(f"{'':16} {'CPU ms a step':>14} {'more':>8} {'wall ms':>8} {'more':>8}")
    figures: dict[str, float] = {}
    for name, cost in costs.items():
        more = [median(a - b for a, b in zip(*pair, strict=True)) for pair in paired(cost, bare)]
        row = (median(cost.cpu_ms), more[0], median(cost.wall_ms), more[1])
        print(f"{name:16} {row[0]:14.3f} {row[1]:8.3f} {row[2]:8.3f} {row[3]:8.3f}")
        figures |= {f"{name}_cpu_ms": row[1], f"{name}_wall_ms": row[3]}
    figures |= per_trial(options.trials, options.alone)
    print(f"courier CPU s a trial: one for all {figures['together_s']:.2f}, ", end="")
    print(f"one for each {figures['alone_s']:.2f}")
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()} | {"load": load}))


def paired(cost: Cost, bare: Cost) -> list[tuple[list[float], list[float]]]:
    return [(cost.cpu_ms, bare.cpu_ms), (cost.wall_ms, bare.wall_ms)]


if __name__ == "__main__":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    main()
