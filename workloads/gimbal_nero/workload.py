"""The workload `nero`: the shape of a reflective object from photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal_nero.config import NeroConfig
from gimbal_nero.stages.judging import EVALUATE, judge_gates, judge_stage
from gimbal_nero.stages.meshing import mesh_stage
from gimbal_nero.stages.preparing import prepare_stage
from gimbal_nero.stages.reporting import report_stage
from gimbal_nero.stages.shaping import shape_stage
from gimbal_nero.stages.synthesizing import synthesize_stage
from gimbal_nero.stages.watching import WATCH, watch_gates, watch_stage


class NeroWorkload(Workload[NeroConfig]):
    """Photographs (or made ones) → prepare → shape → watch → mesh → evaluate → report."""

    name: ClassVar[str] = "nero"
    config = NeroConfig

    def stages(self, config: NeroConfig) -> Sequence[Stage]:
        """Return the stages from photographs to a page about the judged mesh."""
        made = config.data.root is None
        first = (synthesize_stage(config.data.synthetic, config.seed),) if made else ()
        stages: tuple[Stage, ...] = (
            *first,
            prepare_stage(
                config.prepare,
                config.data.root,
                config.seed,
                steady_exposure=config.model.exposure == "same",
            ),
            shape_stage(config),
            watch_stage(config.watch, config.model, config.seed),
            mesh_stage(config),
            judge_stage(config),
        )
        gates = {
            WATCH: watch_gates(config.watch, config.model),
            EVALUATE: judge_gates(config.evaluate, config.data.root),
        }
        return (*stages, report_stage(tuple(stage.name for stage in stages), gates))

    def cli(self) -> Any:
        """Return the commands under `gimbal nero`."""
        from gimbal_nero.cli import app

        return app
