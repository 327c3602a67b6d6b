"""The policies of a finished run, ready to be asked.

Whoever wants a run's policy outside its own stages comes here, so that how networks are loaded is
known in one place.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import StageInputs, StageOutput
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.model_settings import ModelSettings

if TYPE_CHECKING:
    from gimbal_nbv.policies import Policy

POLICY_STAGES = ("train", "constant")
"""Stages whose files the learned and fitted policies are loaded from."""


def load_policy(run: RunFolder, name: str) -> tuple[Policy, NbvConfig]:
    """Return one policy of a run, and the settings it was trained with.

    Args:
        run: The run.
        name: Its name in tables: `policy`, `blind`, `farthest`, `oracle`, ...

    Raises:
        ConfigError: The run is of another workload, trained no policy, or knows none of that name.
        StorageError: Its checkpoint is damaged.
    """
    config = run_config(run)
    inputs = finished_stages(run, POLICY_STAGES)
    policies = {policy.name: policy for policy in all_policies(config, inputs)}
    if name not in policies:
        raise ConfigError(
            f"there is no policy '{name}'", f"choose one of {', '.join(sorted(policies))}"
        )
    return policies[name], config


def all_policies(config: NbvConfig, inputs: StageInputs) -> Sequence[Policy]:
    """Return every baseline, the fitted constant, the blind control and the policy of a run.

    Args:
        config: The run's settings.
        inputs: Its stages `train` and `constant`.
    """
    folders = inputs["train"].path, inputs["constant"].path
    return _policies(*folders, config.model, config.views.image_size, config.seed)


@functools.lru_cache(maxsize=2)
def _policies(
    train_dir: Path, constant_dir: Path, model: ModelSettings, image_size: int, seed: int
) -> tuple[Policy, ...]:
    import numpy as np

    from gimbal.training.checkpoints import best
    from gimbal_nbv.policies import FirstFramePolicy, baselines
    from gimbal_nbv.policies.learned import trained_policies

    policy, blind = trained_policies(best(train_dir), model, image_size)
    constant = FirstFramePolicy(np.load(constant_dir / "directions.npy"))
    return (*baselines(seed), constant, blind, policy)


def run_config(run: RunFolder) -> NbvConfig:
    """Return the settings of a run.

    Raises:
        ConfigError: It is of another workload.
    """
    _, config = load_experiment(run.config_file)
    if not isinstance(config, NbvConfig):
        raise ConfigError(
            f"run {run.id} is of the workload '{config.workload}'", "name a run of nbv"
        )
    return config


def finished_stages(run: RunFolder, names: Sequence[str]) -> Mapping[str, StageOutput]:
    """Return several finished stages of a run by name; see `finished_stage`."""
    return {name: finished_stage(run, name) for name in names}


def finished_stage(run: RunFolder, name: str) -> StageOutput:
    """Return a finished stage of a run.

    Raises:
        ConfigError: The run has none of that name.
    """
    state = run.state().stages.get(name)
    folder = run.stages / name
    if state is None or state.fingerprint is None or not (folder / "stage.json").exists():
        raise ConfigError(
            f"run {run.id} has no finished stage '{name}'",
            "name a run that trained a policy (gimbal runs list), or finish this one by running "
            "its config again",
        )
    return StageOutput(
        name=name, path=folder.resolve(), fingerprint=state.fingerprint, metrics=state.metrics
    )
