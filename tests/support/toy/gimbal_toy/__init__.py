"""A workload from outside the repository: numbers, their squares, the squares' sum."""

import time
from pathlib import Path

import gimbal
from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import BadItem, DataStage
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import Gate, TaskStage
from gimbal.experiment.workload import Workload


class Numbers(Settings):
    count: int = 6
    bad: tuple[int, ...] = ()
    pause_s: float = 0.0
    log: str = ""


class Sum(Settings):
    power: int = 1
    fail: bool = False
    pause_s: float = 0.0
    log: str = ""


class ToyConfig(ExperimentSettings):
    numbers: Numbers = Numbers()
    sum: Sum = Sum()
    least: float = 0.0


def note(log: str, word: str) -> None:
    """Leave a line behind, so that a test can count executions across processes."""
    if log:
        with Path(log).open("a") as file:
            file.write(word + "\n")


class Squares(DataStage):
    schema = BlockSchema.of(Column("square", "int64"))

    def items(self, inputs):
        return [{"id": str(n), "n": n} for n in range(self.settings.count)]

    def rows(self, item, inputs):
        note(self.settings.log, f"square {item['n']}")
        time.sleep(self.settings.pause_s)
        if item["n"] in self.settings.bad:
            raise BadItem(f"number {item['n']} is bad", "leave it out")
        yield {"square": item["n"] ** 2}


class Total(TaskStage):
    def run(self, inputs, out_dir, progress):
        from gimbal.data.reading import BlockReader

        note(self.settings.log, "total")
        time.sleep(self.settings.pause_s)
        if self.settings.fail:
            raise ZeroDivisionError("the toy broke")
        squares = BlockReader(inputs["squares"].path).column("square")
        progress(1, 1, "added")
        return {
            "total": int(sum(squares)) ** self.settings.power,
            "worker": gimbal.__version__,
            "worker_path": gimbal.__file__,
        }


class Toy(Workload):
    name, config = "toy", ToyConfig

    def stages(self, config):
        gate = Gate(name="least", metric="total", op=">=", threshold=config.least, hint="add more")
        return [
            Squares(name="squares", settings=config.numbers, items_per_block=2),
            Total(name="total", settings=config.sum, inputs=("squares",), gates=(gate,)),
        ]
