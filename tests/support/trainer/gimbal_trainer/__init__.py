"""A workload that trains a line, after a data stage and a task that use a GPU as well."""

import os
from pathlib import Path

import numpy as np
import torch.distributed as dist
from torch import nn

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage


class Line(Settings):
    train: TrainSettings = TrainSettings(
        steps=30, global_batch=6, lr=1e-2, checkpoint_every=20, log_every=1
    )


class LineConfig(ExperimentSettings):
    line: Line = Line()


class LineSource:
    def __len__(self):
        return 31

    def fetch(self, indices):
        return {"x": np.linspace(-1, 1, 31)[indices, None]}


class LineTask:
    def build(self):
        module = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        return module, [{"params": list(module.parameters())}]

    def source(self, split):
        return LineSource()

    def loss(self, module, batch, step):
        ask_to_leave(step)
        return {"all": ((module(batch["x"]) - batch["x"].sin()).square().sum(), None)}

    def validate(self, module, source):
        return {"loss": 0.0}


def global_rank():
    return dist.get_rank() if dist.is_initialized() else 0


def ask_to_leave(step):
    """Write, at one step, what the job service would: the file's first line names both."""
    order = Path(os.environ["GIMBAL_TRAINER_STOP"])
    if order.exists():
        at, path = order.read_text().split("\n")[:2]
        if step == int(at) and global_rank() == 0:
            Path(path).write_text('{"why": "preempt", "at": 0.0}')


class Train(TrainStage):
    @property
    def train(self):
        return self.settings.train

    def task(self, inputs):
        return LineTask()


class Cards(DataStage):
    """One row a block: the GPU its task was given."""

    schema = BlockSchema.of(Column("gpu", "int64"))

    def items(self, inputs):
        return [{"id": str(n)} for n in range(2)]

    def rows(self, item, inputs):
        yield {"gpu": own_gpu()}


class Card(TaskStage):
    def run(self, inputs, out_dir, progress):
        from gimbal.data.reading import BlockReader

        rows = BlockReader(inputs["cards"].path).column("gpu")
        return {"gpu": own_gpu(), "data_gpus": sorted({int(gpu) for gpu in rows})}


def own_gpu():
    import ray

    (name,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    return int(name)


class Trainer(Workload):
    name, config = "trainer", LineConfig

    def stages(self, config):
        train = Train(name="line", settings=config.line, seed=config.seed)
        settings = Settings()
        return [
            Cards(name="cards", settings=settings, items_per_block=1, num_gpus=1),
            Card(name="card", settings=settings, inputs=("cards",), num_gpus=1),
            train,
        ]
