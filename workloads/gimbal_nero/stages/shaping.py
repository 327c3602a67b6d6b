"""Stage `shape`: distance, material and light are learnt from rays.

What only decides how held-out views are looked at stays out of the fingerprint, and the whole
config is no import of stages: whoever edits how meshes are judged must not have shapes learnt anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.stages.preparing import PREPARE

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask
    from gimbal_nero.config import NeroConfig

SHAPE = "shape"


class ShapeSettings(Settings):
    """What decides the shape."""

    model: ModelSettings
    loss: LossSettings
    schedule: ScheduleSettings
    rays: RaySettings
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class ShapeStage(TrainStage):
    """Trains the networks; see `shape_stage`, which makes it from a config.

    Attributes:
        rays_at_once: Rays of one forward pass in validation.
    """

    bookkeeping: ClassVar[frozenset[str]] = TrainStage.bookkeeping | {"rays_at_once"}

    settings: ShapeSettings
    rays_at_once: int = 1024
    inputs: tuple[str, ...] = (PREPARE,)

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    def task(self, inputs: StageInputs) -> TrainTask:
        """Open the capture."""
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.learning.task import ShapePlan, ShapeTask
        from gimbal_nero.volume.shape import ShapeFields

        settings = self.settings
        plan = ShapePlan(
            loss=settings.loss,
            schedule=settings.schedule,
            rays=settings.rays.model_copy(update={"rays_at_once": self.rays_at_once}),
            seed=self.seed,
            photographer=settings.model.photographer,
        )
        capture = load_capture(inputs[PREPARE].path)
        fields = ShapeFields(settings.model, views=len(capture.of("train")))
        return ShapeTask(plan, fields, capture)


def shape_stage(config: NeroConfig) -> ShapeStage:
    """Return the stage that a config asks for.

    Raises:
        ConfigError: The config says nothing of training.
    """
    if config.train is None:
        raise ConfigError("the config has no section train", "write train: {steps: ...}")
    unset = RaySettings.model_fields["rays_at_once"].default
    return ShapeStage(
        name=SHAPE,
        settings=ShapeSettings(
            model=config.model,
            loss=config.loss,
            schedule=config.schedule,
            rays=config.rays.model_copy(update={"rays_at_once": unset}),
            train=config.train,
        ),
        seed=config.seed,
        rays_at_once=config.rays.rays_at_once,
    )
