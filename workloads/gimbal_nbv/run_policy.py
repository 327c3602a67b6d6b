"""The policies of a finished run, ready to be asked.

Whoever wants a run's policy outside its own stages comes here, so that how networks are loaded is
known in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import StageInputs, StageOutput
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.stages.reading import protocol_of

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
    inputs = policy_stages(run, config)
    policies = {policy.name: policy for policy in all_policies(config, inputs)}
    if name not in policies:
        raise ConfigError(
            f"there is no policy '{name}'", f"choose one of {', '.join(sorted(policies))}"
        )
    return policies[name], config


def all_policies(config: NbvConfig, inputs: StageInputs) -> Sequence[Policy]:
    """Return every policy of a run's own table; see `policy_list`.

    Args:
        config: The run's settings.
        inputs: Those of its stages that `policy_stages` names.
    """
    from gimbal_nbv.policy_list import PolicySources, listed_policies

    sources = PolicySources(
        model=config.model,
        image_size=config.views.image_size,
        grid=protocol_of(config.views, config.oracle).grid,
        seed=config.seed,
        completion=config.completion,
        multiview=config.multiview,
    )
    return listed_policies(sources, inputs)


def policy_stages(run: RunFolder, config: NbvConfig) -> Mapping[str, StageOutput]:
    """Return the finished stages that a run's policies are loaded from.

    `completion` is among them where the run trained a reconstruction and finished it, `multiview`
    where its policy reads that network's tokens.

    Raises:
        ConfigError: It trained no policy.
    """
    found = dict(finished_stages(run, (*POLICY_STAGES, *_extractor_stages(config))))
    if config.completion is not None and is_finished(run, "completion"):
        found["completion"] = finished_stage(run, "completion")
    return found


def policy_stage_names(config: NbvConfig) -> tuple[str, ...]:
    """Return the names of all stages that the policies of a run's own table are loaded from."""
    guided = ("completion",) if config.completion is not None else ()
    return (*POLICY_STAGES, *_extractor_stages(config), *guided)


def _extractor_stages(config: NbvConfig) -> tuple[str, ...]:
    return ("multiview",) if config.model.extractor == "multiview" else ()


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
    if state is None or state.fingerprint is None or not is_finished(run, name):
        raise ConfigError(
            f"run {run.id} has no finished stage '{name}'",
            "name a run that trained a policy (gimbal runs list), or finish this one by running "
            "its config again",
        )
    return StageOutput(
        name=name,
        path=(run.stages / name).resolve(),
        fingerprint=state.fingerprint,
        metrics=state.metrics,
    )


def is_finished(run: RunFolder, name: str) -> bool:
    """Return whether a run has a stage of that name and finished it."""
    state = run.state().stages.get(name)
    finished = state is not None and state.fingerprint is not None
    return finished and (run.stages / name / "stage.json").exists()
