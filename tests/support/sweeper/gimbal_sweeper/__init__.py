"""A workload for sweeps: rows, a line trained on them, and a score that a sweep optimises."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload
from gimbal.training import checkpoints
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage


class Rows(Settings):
    count: int = 8
    pause_s: float = 0.0
    log: str = ""


class Train(TrainSettings):
    steps: int = 30
    global_batch: int = 8
    lr: float = 0.1
    optimizer: str = "sgd"
    schedule: str = "constant"
    checkpoint_every: int = 5


class Line(Settings):
    """`pause_s` is how long every optimizer step takes."""

    train: Train = Train()
    pause_s: float = 0.0
    log: str = ""


class Score(Settings):
    """`x` is judged by its distance from 3; `fail_above` breaks the stage for larger ones."""

    x: float = 0.0
    fail_above: float = 1e9
    pause_s: float = 0.0
    log: str = ""


class SweeperConfig(ExperimentSettings):
    rows: Rows = Rows()
    line: Line = Line()
    score: Score = Score()
    trains: bool = True


def note(log, word):
    """Leave a line behind, so that a test can count executions across processes."""
    if log:
        with Path(log).open("a") as file:
            file.write(word + "\n")


class RowStage(DataStage):
    schema = BlockSchema.of(Column("x", "float64"))

    def items(self, inputs):
        note(self.settings.log, "data")
        return [{"id": str(n), "n": n} for n in range(self.settings.count)]

    def rows(self, item, inputs):
        time.sleep(self.settings.pause_s)
        note(self.settings.log, f"row {item['n']}")
        yield {"x": item["n"] / self.settings.count}


class LineTask:
    """The slope of y = 2 x, from 0."""

    def __init__(self, settings, x, tag):
        self.settings, self.x, self.tag = settings, x, tag

    def build(self):
        module = nn.Linear(1, 1, bias=False).double()
        nn.init.zeros_(module.weight)
        return module, [{"params": list(module.parameters())}]

    def source(self, split):
        return self

    def __len__(self):
        return len(self.x)

    def fetch(self, indices):
        return {"x": self.x[indices, None]}

    def loss(self, module, batch, step):
        note(self.settings.log, f"step {self.tag} {step}")
        time.sleep(self.settings.pause_s)
        x = torch.as_tensor(batch["x"])
        return {"all": ((module(x) - 2 * x).square().sum(), None)}

    def validate(self, module, source):
        return {"error": abs(float(module.weight) - 2.0)}


class LineStage(TrainStage):
    @property
    def train(self):
        return self.settings.train

    def task(self, inputs):
        from gimbal.data.reading import BlockReader

        x = np.asarray(BlockReader(inputs["rows"].path).column("x"), dtype=float)
        return LineTask(self.settings, x, f"{self.settings.train.lr:g}/{self.seed}")


class ScoreStage(TaskStage):
    def run(self, inputs, out_dir, progress):
        settings = self.settings
        note(settings.log, f"score {settings.x:g} {self.seed}")
        time.sleep(settings.pause_s)
        if settings.x > settings.fail_above:
            raise ValueError(f"x is above {settings.fail_above:g}")
        metrics = {"distance": abs(settings.x - 3) + self.seed / 1000}
        if "line" in inputs:
            model = checkpoints.load(checkpoints.best(inputs["line"].path))["model"]
            metrics["slope_error"] = abs(float(next(iter(model.values()))) - 2.0)
        return metrics


class Sweeper(Workload):
    name, config = "sweeper", SweeperConfig

    def stages(self, config):
        rows = RowStage(name="rows", settings=config.rows, items_per_block=4)
        line = LineStage(name="line", settings=config.line, seed=config.seed, inputs=("rows",))
        before = ("rows", "line") if config.trains else ("rows",)
        score = ScoreStage(name="score", settings=config.score, seed=config.seed, inputs=before)
        return [rows, line, score] if config.trains else [rows, score]
