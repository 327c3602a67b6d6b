"""Training through real Ray: lost workers, repeated bugs, one worker and several."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gimbal.errors import StageFailed
from gimbal.experiment.settings import Resources, Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training import checkpoints
from gimbal.training.orders import Plan
from gimbal.training.running import run_training
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal.training.worker import train
from gimbal.training.world import World
from ray import cloudpickle

# Workers cannot import a test file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

STEPS, DIES_AT = 40, 23


class LineSettings(Settings):
    """`harm` is what happens at step 23: `kill`, `raise`, or nothing."""

    train: TrainSettings = TrainSettings(steps=STEPS, global_batch=6, lr=1e-2, checkpoint_every=10)
    harm: str = ""
    scratch: str = ""


class LineSource:
    def __len__(self) -> int:
        return 31

    def fetch(self, indices: np.ndarray) -> dict[str, Any]:
        x = np.linspace(-1, 1, 31)[indices, None]
        return {"x": x, "valid": np.arange(31)[indices] % 3 > 0}


@dataclass
class LineTask:
    settings: LineSettings

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        return module, [{"params": list(module.parameters())}]

    def source(self, split: str) -> LineSource:
        return LineSource()

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        self._harm(step)
        error = (module(batch["x"]) - batch["x"].sin()).square()[:, 0]
        valid = batch["valid"]
        return {"all": (error.sum(), None), "valid": ((error * valid).sum(), valid.sum())}

    def _harm(self, step: int) -> None:
        """At one step: kill the last worker, the first time only; or raise in it every time."""
        distributed = torch.distributed.is_initialized()
        last = not distributed or torch.distributed.get_rank() > 0
        if step != DIES_AT or not last or not self.settings.harm:
            return
        with Path(self.settings.scratch).open("a") as file:
            file.write("x")
        if self.settings.harm == "raise":
            raise ValueError("a bug of the task")
        if Path(self.settings.scratch).stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def validate(self, module: nn.Module, source: LineSource) -> dict[str, float]:
        x = torch.from_numpy(source.fetch(np.arange(31))["x"])
        return {"loss": float((module(x) - x.sin()).square().mean())}


@dataclass(frozen=True, kw_only=True)
class LineStage(TrainStage):
    settings: LineSettings

    @property
    def train(self) -> TrainSettings:
        return self.settings.train

    def task(self, inputs: StageInputs) -> LineTask:
        return LineTask(self.settings)


def run(out_dir: Path, *, workers: int, harm: str = "") -> dict[str, Any]:
    settings = LineSettings(harm=harm, scratch=str(out_dir.with_suffix(".scratch")))
    stage = LineStage(name="line", settings=settings, seed=5)
    return run_training(stage, {}, out_dir, Resources(workers=workers), progress=lambda *_: None)


def weights(out_dir: Path) -> torch.Tensor:
    model = checkpoints.load(checkpoints.best(out_dir))["model"]
    return torch.cat([value.flatten() for value in model.values()])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """The weights of a worker that nothing happens to; it needs no Ray."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    settings = LineSettings()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(LineTask(settings), Plan(settings=settings.train, seed=5, out_dir=folder), World())
    torch.set_num_threads(threads)
    return weights(folder)


def test_a_killed_worker_of_a_group_changes_nothing(
    tmp_path: Path, undisturbed: torch.Tensor
) -> None:
    """Ray Train starts a new group, which goes on from step 20 on the same trajectory."""
    out = tmp_path / "run"
    numbers = run(out, workers=2, harm="kill")
    assert (numbers["resumed_from"], numbers["workers"], numbers["steps"]) == (20, 2, STEPS)
    torch.testing.assert_close(weights(out), undisturbed, rtol=0, atol=1e-12)
    hidden = [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert hidden == [], "Ray Train's own files were left behind"


@pytest.mark.slow
def test_a_killed_lone_worker_changes_nothing(tmp_path: Path, undisturbed: torch.Tensor) -> None:
    numbers = run(tmp_path / "run", workers=1, harm="kill")
    assert (numbers["resumed_from"], numbers["workers"]) == (20, 1)
    torch.testing.assert_close(weights(tmp_path / "run"), undisturbed, rtol=0, atol=0)


@pytest.mark.slow
def test_a_bug_that_repeats_stops_the_group(tmp_path: Path) -> None:
    """Tried twice, not max_worker_failures + 1 = 4 times; told in one sentence."""
    with pytest.raises(
        StageFailed, match="worker 1 failed at step 23: ValueError: a bug"
    ) as caught:
        run(tmp_path / "run", workers=2, harm="raise")
    assert (tmp_path / "run.scratch").stat().st_size == 2
    assert "step-00000023-worker-1.txt" in caught.value.remedy
    newest, _ = checkpoints.newest_whole(tmp_path / "run")
    assert newest is not None and newest.step == 20
