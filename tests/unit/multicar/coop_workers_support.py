"""A group of worker processes that trains a task together, without Ray."""

from __future__ import annotations

import multiprocessing as mp
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World

WORKERS = 2


def _member(rank: int, meeting: str, make: Callable[[Path], Any], plan: Plan, rows: Path) -> None:
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS
        )
        train(make(rows), plan, World(rank=rank, size=WORKERS))
        torch.distributed.destroy_process_group()
    except Exception:
        traceback.print_exc()
        os._exit(1)


def train_in_group(
    make: Callable[[Path], Any], settings: TrainSettings, out_dir: Path, rows: Path
) -> None:
    """Train in two processes and wait; a failed worker fails the test.

    Args:
        make: Makes the task from a folder of panoramas; a function of a module.
        settings: How.
        out_dir: Where.
        rows: The panoramas, so that workers do not draw them again.
    """
    plan = Plan(settings=settings, seed=0, out_dir=out_dir)
    meeting = out_dir.with_name(f"meeting-{out_dir.name}")
    context = mp.get_context("spawn")
    members = [
        context.Process(target=_member, args=(rank, str(meeting), make, plan, rows))
        for rank in range(WORKERS)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join(300)
    assert [member.exitcode for member in members] == [0] * WORKERS
