"""The workload `nero`: shape, material and light of a reflective object from photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal_nero.config import NeroConfig
from gimbal_nero.stages.exporting import export_stage
from gimbal_nero.stages.fitting import material_stage
from gimbal_nero.stages.judging import EVALUATE, judge_gates, judge_stage
from gimbal_nero.stages.meshing import mesh_stage
from gimbal_nero.stages.preparing import prepare_stage
from gimbal_nero.stages.relighting import relight_stage
from gimbal_nero.stages.reporting import report_stage
from gimbal_nero.stages.reviewing import REVIEW, review_gates, review_stage
from gimbal_nero.stages.shaping import shape_stage
from gimbal_nero.stages.synthesizing import synthesize_stage
from gimbal_nero.stages.watching import WATCH, watch_gates, watch_stage


class NeroWorkload(Workload[NeroConfig]):
    """Photographs (or made ones) → shape → mesh → material → export → relight → judged, told."""

    name: ClassVar[str] = "nero"
    config = NeroConfig

    def stages(self, config: NeroConfig) -> Sequence[Stage]:
        """Return the stages from photographs to a page about what was learnt."""
        learnt = config.mesh.file is None
        stages: tuple[Stage, ...] = (
            *_photographs(config),
            *((shape_stage(config),) if learnt else ()),
            *((watch_stage(config.watch, config.model, config.seed),) if learnt else ()),
            mesh_stage(config),
            *(_second_half(config) if config.material is not None else ()),
            judge_stage(config),
        )
        gates = {EVALUATE: judge_gates(config.evaluate, config.data.root)}
        if config.material is not None:
            gates = {REVIEW: review_gates(config), **gates}
        if learnt:
            gates = {WATCH: watch_gates(config.watch, config.model), **gates}
        return (*stages, report_stage(tuple(stage.name for stage in stages), gates))

    def cli(self) -> Any:
        """Return the commands under `gimbal nero`."""
        from gimbal_nero.cli import app

        return app


def _photographs(config: NeroConfig) -> tuple[Stage, ...]:
    made = config.data.root is None
    return (
        *((synthesize_stage(config.data.synthetic, config.seed),) if made else ()),
        prepare_stage(
            config.prepare,
            config.data.root,
            config.seed,
            steady_exposure=config.model.exposure == "same",
        ),
    )


def _second_half(config: NeroConfig) -> tuple[Stage, ...]:
    return (
        material_stage(config),
        review_stage(config),
        export_stage(config),
        relight_stage(config),
    )
