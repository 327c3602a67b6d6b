"""The workload `multicar`: cooperating cars, their cameras fused into panoramas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal_multicar.config import DataSettings, MulticarConfig
from gimbal_multicar.learning.fitting import A_CHECKPOINT, start_problem
from gimbal_multicar.stages.cameras import cameras_stage
from gimbal_multicar.stages.evaluating import evaluating_stage
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_multicar.stages.reporting import ReportStage
from gimbal_multicar.stages.surveying import SurveyStage
from gimbal_multicar.stages.training import training_stage


class MulticarWorkload(Workload[MulticarConfig]):
    """Frames of cars → panoramas → survey → train → evaluate → report.

    Without `train` in the config: panoramas → survey → report. Where `samples.views` asks for the
    cars' own pictures, stage `cameras` keeps them beside the panoramas.
    """

    name: ClassVar[str] = "multicar"
    config = MulticarConfig

    def stages(self, config: MulticarConfig) -> Sequence[Stage]:
        """Return the stages that make panoramas, look them over, and train on them."""
        return (
            panoramas_stage(config.data, config.seed),
            *picture_stages(config),
            SurveyStage(
                name="survey",
                settings=config.loader,
                view_selection_margin=_margin(config),
            ),
            *training_stages(config),
            ReportStage(name="report", settings=config.loader, inputs=_told_of(config)),
        )

    def notices(self, config: MulticarConfig) -> Sequence[str]:
        """Return nothing; called before a run starts, which is when weights must be there.

        A finished run can be looked at without the weights that it started from.

        Raises:
            ConfigError: `model.init_from` names nothing.
        """
        problem = None if config.train is None else start_problem(config.model)
        if problem is not None:
            raise ConfigError(problem, f"name {A_CHECKPOINT}, or a file of weights")
        return ()

    def cli(self) -> Any:
        """Return the commands under `gimbal multicar`."""
        from gimbal_multicar.cli import app

        return app


def _told_of(config: MulticarConfig) -> tuple[str, ...]:
    """Return the names of the stages that the page tells of."""
    learnt = () if config.train is None else ("train", "evaluate")
    return ("panoramas", "survey", *learnt)


def picture_stages(config: MulticarConfig) -> tuple[Stage, ...]:
    """Return the stage of the cars' own pictures, if samples are made of them."""
    if config.samples.views == "panoramas":
        return ()
    return (cameras_stage(config.data, config.samples.camera_view, config.seed),)


def training_stages(config: MulticarConfig) -> tuple[Stage, ...]:
    """Return the stages of a training and its judgement, if there is one."""
    if config.train is None:
        return ()
    return (training_stage(config, config.train), evaluating_stage(config))


def _margin(config: MulticarConfig) -> float:
    """Return how far from its axis a camera was asked; made cars always ask as by default."""
    data = config.data if config.data.root is not None else DataSettings()
    return data.panorama.view_selection_margin
