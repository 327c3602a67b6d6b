"""The settings of the multi-car workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from gimbal.experiment.settings import ExperimentSettings
from gimbal.training.settings import TrainSettings
from gimbal_multicar.data_settings import (
    DataSettings,
    LoaderSettings,
    PanoramaSettings,
    SyntheticSettings,
)
from gimbal_multicar.learning.fitting import problems, shape_of, size_problem, told_problems
from gimbal_multicar.learning.measured import metric_problems
from gimbal_multicar.learning.settings import (
    JudgeSettings,
    LossSettings,
    ModelSettings,
    SampleSettings,
)

__all__ = [
    "DataSettings",
    "LoaderSettings",
    "MulticarConfig",
    "PanoramaSettings",
    "SyntheticSettings",
]


class MulticarConfig(ExperimentSettings):
    """A multi-car experiment."""

    workload: Literal["multicar"] = "multicar"
    data: DataSettings = DataSettings()
    loader: LoaderSettings = LoaderSettings()
    samples: SampleSettings = SampleSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings | None = None
    """How the multi-view model is trained; none: panoramas are made and surveyed, no more."""
    evaluate: JudgeSettings = JudgeSettings()

    @model_validator(mode="after")
    def _can_train(self) -> MulticarConfig:
        if self.train is not None:
            for problem in self._training_problems():
                raise ValueError(problem)
        return self

    def _training_problems(self) -> Iterator[str]:
        """Yield what is wrong with settings that only a training reads."""
        yield from problems(self.samples, self.model, self.loss)
        yield from told_problems(self.evaluate, self.model.given)
        yield from metric_problems(self.train, self.samples, self.model)
        patch = shape_of(self.model).patch
        panorama, picture = self.data.panorama, self.samples.camera_view
        views = self.samples.views
        sizes = (
            ("data.panorama", panorama.width, panorama.height, views != "cameras"),
            ("samples.camera_view", picture.width, picture.height, views != "panoramas"),
        )
        for key, width, height, counts in sizes:
            found = size_problem(key, width, height, patch) if counts else None
            if found:
                yield found
        for split in ("train", "validate", self.evaluate.split):
            if split not in self.data.splits:
                yield (
                    f"data.splits lacks {split}, which is trained on, validated on or judged "
                    "(evaluate.split): add it"
                )
        if self.data.root is None:
            yield from self._street_problems()

    def _street_problems(self) -> Iterator[str]:
        """Yield what made streets have too little of."""
        made, least = self.data.synthetic, self.samples.min_cars
        if made.scenarios < 3:
            yield (
                f"data.synthetic.scenarios ({made.scenarios}) leaves a split empty: "
                "write 3 or more, of which one in six is for validation and one for the test"
            )
        if min(made.agents, self.data.max_cars) < least:
            key = "synthetic.agents" if made.agents < least else "max_cars"
            yield (
                f"data.{key} is below samples.min_cars ({least}), so there would be no sample: "
                f"write {least} or more, or lower samples.min_cars"
            )
