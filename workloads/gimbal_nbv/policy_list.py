"""The one list of all policies of a run: whoever compares them must compare the same ones.

Stage `rollouts` makes the run's table from it, and `run_policy` hands it to everyone else. The
guided baseline is among them only where stage `completion` is at hand.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gimbal.experiment.stage import StageInputs
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.extractors import TrainedNetwork, trained_network
from gimbal_nbv.model_settings import ModelSettings
from gimbal_nbv.multiview.settings import MultiviewSettings

if TYPE_CHECKING:
    from gimbal_nbv.policies import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicySources:
    """What policies are made from, beside the files of stages.

    Attributes:
        model: The model settings the policy was trained with.
        image_size: Side of the images it was trained on, in pixels.
        grid: Voxels along each side of the protocol's cube.
        seed: The experiment's seed.
        completion: Of the learned reconstruction, which then guides a baseline of its own.
        multiview: Of the multi-view model, where the policy reads its tokens.
    """

    model: ModelSettings
    image_size: int
    grid: int
    seed: int
    completion: CompletionSettings | None = None
    multiview: MultiviewSettings | None = None


def listed_policies(sources: PolicySources, inputs: StageInputs) -> tuple[Policy, ...]:
    """Return every baseline, the guided and the fitted one, the blind control and the policy.

    Args:
        sources: What they are made from.
        inputs: Finished stages `train` and `constant`; `completion` and `multiview` where there
            are.

    Raises:
        StorageError: A checkpoint is damaged.
    """
    from gimbal_nbv.policies import FirstFramePolicy, baselines

    model = sources.model
    network = trained_network(model.extractor, sources.multiview, inputs)
    policy, blind = _trained(inputs["train"].path, model, sources.image_size, network)
    constant = FirstFramePolicy(np.load(inputs["constant"].path / "directions.npy"))
    guided: tuple[Policy, ...] = ()
    if sources.completion is not None and "completion" in inputs:
        guided = (_guided(inputs["completion"].path, sources.completion, sources.grid),)
    return (*baselines(sources.seed), *guided, constant, blind, policy)


@functools.lru_cache(maxsize=2)
def _trained(
    train_dir: Path, settings: ModelSettings, image_size: int, network: TrainedNetwork | None
) -> tuple[Policy, Policy]:
    from gimbal.training.checkpoints import best
    from gimbal_nbv.policies.learned import trained_policies

    return trained_policies(best(train_dir), settings, image_size, network)


@functools.lru_cache(maxsize=2)
def _guided(folder: Path, settings: CompletionSettings, grid: int) -> Policy:
    from gimbal.training.checkpoints import best
    from gimbal_nbv.policies.completion import CompletionPolicy
    from gimbal_nbv.stages.completion import load_completion

    return CompletionPolicy(load_completion(best(folder), settings, grid))
