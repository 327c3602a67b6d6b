"""A workload for unit tests of sweeps: settings with ranges, one train stage, one score."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage


class Data(Settings):
    count: Annotated[int, Field(ge=1, le=1000)] = 8
    kind: Literal["plain", "fancy"] = "plain"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    sizes: tuple[int, ...] = (1,)
    meshes: str | None = None


class Train(TrainSettings):
    steps: int = 100
    global_batch: int = 4
    validate_every: int | None = 10


class SweepToyConfig(ExperimentSettings):
    data: Data = Data()
    train: Train = Train()
    trains: bool = True


class Score(TaskStage):
    def run(self, inputs: Any, out_dir: Any, progress: Any) -> dict[str, Any]:
        return {"value": 1.0}


class Training(TrainStage):
    @property
    def train(self) -> TrainSettings:
        return self.settings  # type: ignore[return-value]

    def task(self, inputs: Any) -> Any:
        raise NotImplementedError


class SweepToy(Workload[SweepToyConfig]):
    name, config = "sweeptoy", SweepToyConfig

    def stages(self, config: SweepToyConfig) -> list[Any]:
        score = Score(name="score", settings=config.data, seed=config.seed)
        training = Training(name="train", settings=config.train, seed=config.seed)
        return [training, score] if config.trains else [score]
