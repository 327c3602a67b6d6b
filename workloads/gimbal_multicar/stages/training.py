"""Stage `train`: the multi-view model and its blind twin, side by side on the same cars.

What only decides how much memory a step takes (views of a forward pass, recomputed activations)
stays out of the fingerprint: a training that ran out of memory goes on with less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.learning.fitting import samples_at_once
from gimbal_multicar.learning.settings import LossSettings, ModelSettings, SampleSettings

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask
    from gimbal_multicar.learning.samples import CoopSource

_MEMORY_OF_MODEL = ("checkpoint_encoder", "checkpoint_trunk", "checkpoint_heads")


class CoopTrainSettings(Settings):
    """What decides the trained model."""

    samples: SampleSettings
    model: ModelSettings
    loss: LossSettings
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class CoopTrainStage(TrainStage):
    """Trains both networks; see `training_stage`, which makes it from a config.

    Attributes:
        max_views_per_worker: Views of one forward pass.
        recomputed: Parts whose activations are computed again in the backward pass, by their
            switch in `ModelSettings`.
    """

    libraries: ClassVar[tuple[str, ...]] = (*TrainStage.libraries, "transformers")
    bookkeeping: ClassVar[frozenset[str]] = TrainStage.bookkeeping | {
        "max_views_per_worker",
        "recomputed",
    }

    settings: CoopTrainSettings
    max_views_per_worker: int | None = None
    recomputed: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("panoramas",)

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    @property
    def samples(self) -> SampleSettings:
        """Which cars make a sample, and how many views a forward pass holds."""
        limit = {"max_views_per_worker": self.max_views_per_worker}
        return self.settings.samples.model_copy(update=limit)

    @property
    def model(self) -> ModelSettings:
        """The model, and which of its activations are computed again."""
        return self.settings.model.model_copy(update=dict.fromkeys(self.recomputed, True))

    @property
    def largest_batch(self) -> int | None:
        """Samples of one forward pass."""
        return samples_at_once(self.samples)

    def external_files(self) -> Sequence[Path]:
        """Return the weights training starts from."""
        start = self.settings.model.init_from
        return () if start is None else (start,)

    def task(self, inputs: StageInputs) -> TrainTask:
        """Open the rows."""
        from gimbal_multicar.learning.sources import open_source
        from gimbal_multicar.learning.task import CoopPlan, CoopTask

        folders = {name: output.path for name, output in inputs.items()}

        def sources(split: str) -> CoopSource:
            return open_source(folders, split, self.samples, training=split == "train")

        plan = CoopPlan(
            samples=self.samples,
            model=self.model,
            loss=self.settings.loss,
            train=self.train,
            seed=self.seed,
            at_once=self.largest_batch,
        )
        return CoopTask(plan, sources)


def training_stage(config: MulticarConfig, train: TrainSettings) -> CoopTrainStage:
    """Return the stage that a config asks for.

    Args:
        config: The experiment.
        train: Its training settings, which are there.
    """
    unset: dict[str, Any] = dict.fromkeys(_MEMORY_OF_MODEL, False)
    return CoopTrainStage(
        name="train",
        settings=CoopTrainSettings(
            samples=config.samples.model_copy(update={"max_views_per_worker": None}),
            model=config.model.model_copy(update=unset),
            loss=config.loss,
            train=train,
        ),
        seed=config.seed,
        max_views_per_worker=config.samples.max_views_per_worker,
        recomputed=tuple(name for name in _MEMORY_OF_MODEL if getattr(config.model, name)),
        inputs=view_stages(config),
    )


def view_stages(config: MulticarConfig) -> tuple[str, ...]:
    """Return the names of the stages that samples are read from."""
    return ("panoramas",) if config.samples.views == "panoramas" else ("panoramas", "cameras")
