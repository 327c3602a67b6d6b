"""Stage `train`: the policy and its blind twin, side by side on the same states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.course import Course
from gimbal_nbv.learned_settings import Learned
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.reading import DepthNoise, open_rows, protocol_of

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask
    from gimbal_nbv.attention.twins import AttentionTwins
    from gimbal_nbv.scorer import NbvModel
    from gimbal_nbv.tokens.extractor import TokenFormat


class PolicySettings(Settings):
    """What decides the trained policy."""

    model: ModelSettings
    objective: ObjectiveSettings
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class PolicyStage(TrainStage):
    """Trains the policy.

    Attributes:
        completion: Of the learned reconstruction that `detached_cd` uses; none: depth fusion.
        multiview: Of the multi-view model whose tokens are read, or that `detached_cd` uses.
    """

    settings: PolicySettings
    views: ViewSettings
    oracle: OracleSettings
    completion: CompletionSettings | None = None
    multiview: MultiviewSettings | None = None
    inputs: tuple[str, ...] = ("states",)

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    def task(self, inputs: StageInputs) -> TrainTask:
        """Open the states and what else the objective needs."""
        model, objective = self.settings.model, self.settings.objective
        rows = open_rows(inputs, "states")
        course = Course(seed=self.seed, steps=self.train.steps)
        if model.policy == "scorer":
            from gimbal_nbv.stages.scorer_task import ScorerTask

            return ScorerTask(model, objective, rows, course)
        if objective.name == "detached_cd":
            from gimbal_nbv.stages.detached_task import DetachedTask

            protocol = protocol_of(self.views, self.oracle)
            noise = DepthNoise(self.oracle.depth_noise, self.seed)
            learned = Learned(completion=self.completion, multiview=self.multiview)
            return DetachedTask(model, objective, inputs, protocol, noise, learned)
        from gimbal_nbv.stages.attention_task import AttentionTask

        protocol = protocol_of(self.views, self.oracle)
        return AttentionTask(model, objective, rows, protocol, course, self.multiview)


def load_scorer(checkpoint: Path, settings: ModelSettings) -> NbvModel:
    """Rebuild the scorer and its twin from a checkpoint, ready to score.

    Args:
        checkpoint: Folder of a checkpoint of this stage.
        settings: The model settings it was trained with.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    from gimbal.training.checkpoints import load
    from gimbal_nbv.scorer import FeatureMoments, NbvModel

    state = load(checkpoint)["model"]
    sighted, blind = (
        (state[f"{name}.mean"].numpy(), state[f"{name}.std"].numpy())
        for name in ("policy", "blind")
    )
    model = NbvModel.build(FeatureMoments(sighted=sighted, blind=blind), hidden=settings.hidden)
    model.load_state_dict(state)
    return model.eval()


def load_attention(
    checkpoint: Path, settings: ModelSettings, image_size: int, tokens: TokenFormat
) -> AttentionTwins:
    """Rebuild the attention policy and its twin from a checkpoint, ready to be asked.

    Args:
        checkpoint: Folder of a checkpoint of this stage.
        settings: The model settings it was trained with.
        image_size: Side of the images it was trained on, in pixels.
        tokens: What a token is.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    from gimbal.training.checkpoints import load
    from gimbal_nbv.attention.twins import build_twins

    state = load(checkpoint)["model"]
    model = build_twins(
        settings,
        tokens,
        image_size,
        auxiliary=any("progress" in name for name in state),
    )
    model.load_state_dict(state)
    return model.eval()
