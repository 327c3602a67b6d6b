"""Stage `material`: what the surface is made of, and the light around it, from photographs of it.

What only decides how held-out views are looked at stays out of the fingerprint.
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
from gimbal_nero.material.fit_settings import FitSettings
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.stages.meshing import MESH
from gimbal_nero.stages.preparing import PREPARE
from gimbal_nero.stages.shaping import SHAPE

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask
    from gimbal_nero.config import NeroConfig
    from gimbal_nero.tracing.refining import DistanceField

MATERIAL = "material"


class MaterialStageSettings(Settings):
    """What decides the material."""

    fit: FitSettings
    points: PointSettings
    mc: EstimatorSettings


@dataclass(frozen=True, kw_only=True)
class MaterialStage(TrainStage):
    """Fits the networks; see `material_stage`, which makes it from a config.

    Attributes:
        model: Of the shape, whose distance the mesh is refined onto; its photographer stays.
        points_at_once: Points of one estimate in validation.
    """

    bookkeeping: ClassVar[frozenset[str]] = TrainStage.bookkeeping | {"points_at_once"}
    libraries: ClassVar[tuple[str, ...]] = (
        "numpy",
        "torch",
        "trimesh",
        "embreex",
        "opencv-python-headless",
    )

    settings: MaterialStageSettings
    model: ModelSettings
    points_at_once: int = 1024

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.fit.train

    def task(self, inputs: StageInputs) -> TrainTask:
        """Open the capture and the mesh, and trace every training pixel."""
        from gimbal_nero.capture_files import load_capture
        from gimbal_nero.material.task import MaterialPlan, MaterialTask
        from gimbal_nero.meshing.files import UNIT_MESH
        from gimbal_vision.meshes import load_mesh

        settings = self.settings
        plan = MaterialPlan(
            fit=settings.fit.model_copy(update={"points_at_once": self.points_at_once}),
            points=settings.points,
            mc=settings.mc,
            seed=self.seed,
            photographer=self.model.photographer,
        )
        field = distance_of(inputs, self.model, settings.points)
        capture = load_capture(inputs[PREPARE].path)
        return MaterialTask(plan, capture, load_mesh(inputs[MESH].path / UNIT_MESH), field)


def distance_of(
    inputs: StageInputs, model: ModelSettings, points: PointSettings
) -> DistanceField | None:
    """Return the distance that the mesh was cut out of; None where it is not known or wanted."""
    from gimbal_nero.learning.loading import load_shape
    from gimbal_nero.tracing.refining import field_of

    if SHAPE not in inputs or not points.refining_steps:
        return None
    shape = load_shape(inputs[SHAPE].path, model)
    return field_of(shape.fields, shape.module)


def material_stage(config: NeroConfig) -> MaterialStage:
    """Return the stage that a config asks for.

    Raises:
        ConfigError: The config asks for no material.
    """
    if config.material is None:
        raise ConfigError(
            "the config has no section material", "write material: {train: ...}, or take another"
        )
    unset = FitSettings.model_fields["points_at_once"].default
    return MaterialStage(
        name=MATERIAL,
        settings=MaterialStageSettings(
            fit=config.material.model_copy(update={"points_at_once": unset}),
            points=config.points,
            mc=config.mc,
        ),
        seed=config.seed,
        model=config.model,
        points_at_once=config.material.points_at_once,
        inputs=(PREPARE, MESH) if config.mesh.file is not None else (PREPARE, SHAPE, MESH),
    )
