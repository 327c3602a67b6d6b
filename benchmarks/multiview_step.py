"""Milliseconds per training step of the multi-view model: Gimbal's loop against a bare torch loop.

One worker, the tiny model, made panoramas. The bare loop does what one would write by hand: a batch
as tensors in memory, the same forward passes and losses, a backward pass, clipping, AdamW. Both run
in this process, in alternating blocks of steps.

    python benchmarks/multiview_step.py [--rounds 5] [--width 252 --height 42]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.training.batches import fetched
from gimbal.training.loop import Loop
from gimbal.training.metrics import MetricsWriter
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.setup import build, quiet_torch
from gimbal.training.world import World
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.learning.settings import LossSettings, ModelSettings, SampleSettings
from gimbal_multicar.learning.sources import open_source
from gimbal_multicar.learning.task import CoopPlan, CoopTask
from gimbal_multicar.stages.panoramas import panoramas_stage
from taking_turns import measure

BATCH = 4
BLOCK = 3
SAMPLES = SampleSettings(num_cars=(2, 3, 4))
TRAIN = TrainSettings(
    steps=10_000, global_batch=BATCH, gradient_report_every=10_000, checkpoint_every=10_000
)


def task_on(rows: Path) -> CoopTask:
    """Return the task on a folder of panoramas."""
    plan = CoopPlan(
        samples=SAMPLES,
        model=ModelSettings(),
        loss=LossSettings(preset="pose_first"),
        train=TRAIN,
        seed=0,
    )
    return CoopTask(
        plan,
        lambda split: open_source({"panoramas": rows}, split, SAMPLES, training=split == "train"),
    )


class Bare:
    """The loop one would write by hand, on batches that lie in memory."""

    def __init__(self, task: CoopTask) -> None:
        torch.manual_seed(0)
        self.task = task
        self.module, groups = task.build()
        self.parameters = [p for group in groups for p in group["params"]]
        self.optimizer = torch.optim.AdamW(groups, lr=TRAIN.lr, fused=True)
        source = task.source("train")
        order = np.random.default_rng(0).permutation(len(source))
        self.batches = [
            fetched(source, order[start : start + BATCH])
            for start in range(0, len(order) - BATCH, BATCH)
        ]
        self.step = 0

    def block(self) -> None:
        """Take some steps."""
        for _ in range(BLOCK):
            batch = self.batches[self.step % len(self.batches)]
            terms = self.task.loss(self.module, batch, self.step)
            weights = self.task.term_weights
            loss = torch.stack(
                [weights[n] * s / torch.as_tensor(c).clamp_min(1) for n, (s, c) in terms.items()]
            ).sum()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1


class Ours:
    """Gimbal's loop, its log included."""

    def __init__(self, task: CoopTask, folder: Path) -> None:
        plan = Plan(settings=TRAIN, seed=0, out_dir=folder)
        self.loop = Loop(task, build(task, plan, World()), plan, World())
        self.loop.metrics = MetricsWriter(folder / "metrics.jsonl")
        self.loop.clock.start(0)
        self.step = 1

    def block(self) -> None:
        """Take some steps."""
        for _ in range(BLOCK):
            self.loop.one_step(self.step)
            self.step += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=252)
    parser.add_argument("--height", type=int, default=42)
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_torch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = DataSettings(
            panorama=PanoramaSettings(width=options.width, height=options.height),
            synthetic=SyntheticSettings(scenarios=8, agents=4, frames=1),
        )
        write_stage(panoramas_stage(data, seed=0), {}, folder / "rows", execute=run_here)
        (folder / "run").mkdir()
        task = task_on(folder / "rows")
        ours, bare = Ours(task, folder / "run"), Bare(task)
        found = measure({"gimbal": ours.block, "bare": bare.block}, options.rounds)
        ours.loop.metrics.close()
    ratio = {key: found["gimbal"][key] / found["bare"][key] for key in found["bare"]}
    for name, numbers in found.items():
        print(name, {key: round(value / BLOCK, 1) for key, value in numbers.items()})
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"ratio": {k: round(v, 3) for k, v in ratio.items()}, "load": load}))


if __name__ == "__main__":
    main()
