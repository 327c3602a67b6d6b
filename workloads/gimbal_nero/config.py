"""The settings of the NeRO workload."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from gimbal.experiment.settings import ExperimentSettings
from gimbal.training.settings import TrainSettings
from gimbal_nero.data_settings import DataSettings
from gimbal_nero.exporting.settings import ExportSettings
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.judging.settings import JudgeSettings
from gimbal_nero.learning.settings import LossSettings, RaySettings, ScheduleSettings
from gimbal_nero.material.fit_settings import FitSettings
from gimbal_nero.material.point_settings import PointSettings
from gimbal_nero.material.review_settings import ReviewSettings
from gimbal_nero.meshing.settings import MeshSettings
from gimbal_nero.preparing.settings import PrepareSettings
from gimbal_nero.reflectance.settings import EstimatorSettings
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.watching.settings import WatchSettings

__all__ = ["DataSettings", "NeroConfig"]

VALIDATED = ("psnr", "ssim", "opacity")
"""Numbers of held-out views while training, which `train.best_metric` may name."""
VALIDATED_MATERIAL = ("psnr",)
"""Likewise of stage `material`."""


class NeroConfig(ExperimentSettings):
    """Shape, material and light from photographs of a reflective object."""

    workload: Literal["nero"] = "nero"
    data: DataSettings = DataSettings()
    prepare: PrepareSettings = PrepareSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    rays: RaySettings = RaySettings()
    train: TrainSettings | None = None
    """Of the shape; none where `mesh.file` names one."""
    watch: WatchSettings = WatchSettings()
    mesh: MeshSettings = MeshSettings()
    material: FitSettings | None = None
    """None: the shape alone is learnt, and nothing below but `evaluate` counts."""
    points: PointSettings = PointSettings()
    mc: EstimatorSettings = EstimatorSettings()
    review: ReviewSettings = ReviewSettings()
    export: ExportSettings = ExportSettings()
    relight: RelightSettings = RelightSettings()
    evaluate: JudgeSettings = JudgeSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> NeroConfig:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield settings that contradict each other."""
        yield from self._stage_problems()
        if self.loss.occlusion_weight and self.model.mode == "radiance":
            yield (
                "loss.occlusion_weight needs model.mode: reflection, since a radiance network has "
                "no occlusion: write loss.occlusion_weight: 0"
            )
        elif self.loss.occlusion_weight and not self.model.occlusion:
            yield (
                "loss.occlusion_weight needs model.occlusion: true: write it, or "
                "loss.occlusion_weight: 0"
            )
        if self.loss.colour != "charbonnier" and self._changed_epsilon:
            yield (
                f"loss.charbonnier_epsilon has no effect with loss.colour: {self.loss.colour}: "
                "drop it, or write loss.colour: charbonnier"
            )
        if self.prepare.masks == "none":
            yield from self._mask_problems("with prepare.masks: none there are none")

    def _stage_problems(self) -> Iterator[str]:
        fit = None if self.material is None else self.material.train
        named = (
            ("train", self.train, VALIDATED),
            ("material.train", fit, VALIDATED_MATERIAL),
        )
        for key, train, validated in named:
            if train is not None and train.best_metric not in (None, *validated):
                yield (
                    f"{key}.best_metric: {train.best_metric} is not validated: write one of "
                    f"{', '.join(validated)}"
                )
        if self.mesh.file is None and self.train is None:
            yield (
                "a shape is learnt from section train, and there is none: write train: {steps: "
                "..., global_batch: ...}, or name a mesh with mesh.file"
            )
        if self.mesh.file is None and self.mesh.axes != "as_photographs":
            yield "mesh.axes is about mesh.file, and there is none: drop it, or name a file"
        if self.loss.dual_from_step and not self.model.dual:
            yield "loss.dual_from_step has no effect without model.dual: true: drop one of the two"
        if self.mesh.file is not None and self.material is None:
            yield "mesh.file is there for a material: write a section material, or drop it"
        if self.material is None:
            for key in ("max_roughness_mae", "max_albedo_mae", "min_relit_psnr"):
                if getattr(self.evaluate, key) is not None:
                    yield f"evaluate.{key} is about a material: drop it, or write one"
            for key in ("points", "mc", "review", "export", "relight"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    yield f"{key} has no effect without section material: drop it, or write one"

    @property
    def _changed_epsilon(self) -> bool:
        unset = LossSettings.model_fields["charbonnier_epsilon"].default
        return bool(self.loss.charbonnier_epsilon != unset)

    def _mask_problems(self, why: str) -> Iterator[str]:
        asking = {
            "loss.mask_weight": self.loss.mask_weight > 0,
            "loss.masked_colour": self.loss.masked_colour,
            "rays.foreground_share": self.rays.foreground_share is not None,
        }
        for key, is_set in asking.items():
            if is_set:
                yield f"{key} needs masks, and {why}: leave one of the two out"
