"""The stages of networks that are trained before the policy, with their gate and their test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gimbal.experiment.stage import Stage
from gimbal.training.settings import TrainSettings
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import NbvConfig, StateSettings
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.multiview.settings import MultiviewSettings


def learned_stages(config: NbvConfig) -> Sequence[Stage]:
    """Return the stages of the networks that are trained before the policy, and of their gate."""
    if config.completion is None and config.multiview is None:
        return ()
    from gimbal_nbv.stages.sensitivity import SensitivityStage, SensitivityStageSettings

    trained, read = [], ["oracle"]
    if config.completion is not None:
        trained.append(_completion_stage(config, config.completion))
        read.append("completion")
    if config.multiview is not None:
        trained.append(_multiview_stage(config, config.multiview))
        read += ["views", "multiview"]
    gate = SensitivityStage(
        name="sensitivity",
        settings=SensitivityStageSettings(
            sensitivity=config.sensitivity,
            completion=config.completion,
            multiview=config.multiview,
        ),
        seed=config.seed,
        views=config.views,
        oracle=config.oracle,
        inputs=tuple(read),
    )
    return (*trained, gate, *_oracle_test(config))


def _completion_stage(config: NbvConfig, settings: CompletionSettings) -> Stage:
    from gimbal_nbv.stages.completion import CompletionStage

    return CompletionStage(
        name="completion",
        settings=settings,
        seed=config.seed,
        views=config.views,
        oracle=config.oracle,
    )


def _multiview_stage(config: NbvConfig, settings: MultiviewSettings) -> Stage:
    from gimbal_nbv.stages.multiview import MultiviewStage

    return MultiviewStage(
        name="multiview",
        settings=settings,
        seed=config.seed,
        views=config.views,
        oracle=config.oracle,
    )


def _oracle_test(config: NbvConfig) -> tuple[Stage, ...]:
    """Return the oracle test of the multi-view model, where there is one."""
    if config.multiview is None:
        return ()
    from gimbal_nbv.stages.diagnosing import diagnose_stage

    examined = without_policy(config)
    stage = diagnose_stage("oracle-test", examined, uses=("multiview",), about=config.experiment)
    return (replace(stage, name="oracle_test"),)


def without_policy(config: NbvConfig) -> NbvConfig:
    """Return a config without what decides the policy alone: a new one needs no new oracle test."""
    update = {
        "model": ModelSettings(),
        "objective": ObjectiveSettings(),
        "states": StateSettings(),
        "train": TrainSettings(steps=1, global_batch=1),
    }
    return config.model_copy(update=update)
