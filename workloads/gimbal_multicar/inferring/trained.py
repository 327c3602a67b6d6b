"""The trained model of a run, and its answer about one sample.

A training that still runs has checkpoints too: whoever looks at them early need not wait for its
end. Answers come from `learning.predicting`, as those of validation and evaluation do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_folder import RunFolder
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.samples import JudgedSample
from gimbal_multicar.learning.settings import PriorSettings

if TYPE_CHECKING:
    from gimbal.training.checkpoints import Checkpoint
    from gimbal_multicar.learning.model import CoopTwins
    from gimbal_multicar.learning.samples import CoopSource

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Boxes = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """A model with where it comes from.

    Attributes:
        run: Its run.
        config: The run's settings.
        checkpoint: Which weights.
        twins: The model and its blind twin.
    """

    run: RunFolder
    config: MulticarConfig
    checkpoint: Checkpoint
    twins: CoopTwins

    @property
    def record(self) -> dict[str, Any]:
        """`path` (absolute), `step` and `sha256` of the weights."""
        found = self.checkpoint
        return {
            "path": str(found.path.resolve()),
            "step": found.step,
            "sha256": found.sha256,
            "validation": dict(found.metrics),
        }


def open_trained(run: RunFolder, checkpoint: str = "best") -> Trained:
    """Load the trained model of a run; it is told images alone, as where it is judged.

    Args:
        run: The run.
        checkpoint: `best`, `last`, or a step of which there is one.

    Raises:
        ConfigError: The run trains nothing, has no such checkpoint, or its views are no panoramas.
        StorageError: The checkpoint is damaged.
    """
    config = trained_config(run)
    found = checkpoint_of(run, checkpoint)
    from gimbal_multicar.learning.loading import load_twins

    twins = load_twins(found.path, config.model, config.samples)
    twins.priors = PriorSettings()
    return Trained(run=run, config=config, checkpoint=found, twins=twins)


def trained_config(run: RunFolder) -> MulticarConfig:
    """Return the settings of a run that trains on panoramas.

    Raises:
        ConfigError: It does not.
    """
    _, settings = load_experiment(run.config_file)
    if not isinstance(settings, MulticarConfig):
        raise ConfigError(f"run {run.id} is no multi-car run", "name one: gimbal runs list")
    if settings.train is None:
        raise ConfigError(
            f"run {run.id} has no stage 'train', so there is no model to ask",
            "name a run of a config that trains, such as configs/multicar/quickstart.yaml",
        )
    if settings.samples.views != "panoramas":
        raise ConfigError(
            f"run {run.id} was trained on samples.views: {settings.samples.views}; a moment is "
            "shown, and inferred, for panoramas only",
            "name a run with samples.views: panoramas",
        )
    return settings


def checkpoint_of(run: RunFolder, wanted: str) -> Checkpoint:
    """Return a checkpoint of a run's stage `train`.

    Args:
        run: The run.
        wanted: `best`, `last`, or a step.

    Raises:
        ConfigError: There is none, or no such one.
        StorageError: The index is damaged, or the best one is gone.
    """
    from gimbal.training.checkpoints import listed

    folder = (run.stages / "train").resolve()
    found = listed(folder)
    if not found:
        raise ConfigError(
            f"run {run.id} has no checkpoint of its stage 'train' yet",
            "run its config again: it continues; a checkpoint is written at each validation",
        )
    if wanted == "last":
        return found[-1]
    if wanted == "best":
        return _best_of(folder, found)
    for one in found:
        if str(one.step) == wanted:
            return one
    raise ConfigError(
        f"--checkpoint: {wanted} is no checkpoint of run {run.id}",
        f"write best, last, or a step: {_steps(found)}",
    )


def _best_of(folder: Path, found: Sequence[Checkpoint]) -> Checkpoint:
    """Return the best of some checkpoints; before anything is validated, the last.

    Raises:
        StorageError: The index is damaged, or the best one is gone.
    """
    from gimbal.errors import StorageError
    from gimbal.experiment.files import read_json
    from gimbal.training.checkpoints import INDEX_FILE, best, folder_of

    index = folder_of(folder) / INDEX_FILE
    content = read_json(index) if index.is_file() else {"best": None}
    if isinstance(content, dict) and content.get("best", "") is None:
        return found[-1]
    name = best(folder).name
    for one in found:
        if one.path.name == name:
            return one
    raise StorageError(
        f"{index} names {name} as the best checkpoint, but it is not there",
        f"name another with --checkpoint: last, or a step: {_steps(found)}",
    )


def _steps(found: Sequence[Checkpoint]) -> str:
    return ", ".join(str(one.step) for one in found)


def answer_about(
    trained: Trained, source: CoopSource, index: int, cars: Sequence[Boxes]
) -> JudgedSample:
    """Return what the model says of one sample beside the truth, as an evaluation judges it.

    Args:
        trained: The model.
        source: Samples.
        index: Which of them.
        cars: Each car's boxes in its own frame, main car first.
    """
    from gimbal_multicar.learning.judged import judged_samples
    from gimbal_multicar.learning.predicting import answers

    found = answers(trained.twins, source, [index])
    (sample,) = judged_samples(found, [FrameId.of(source.moments[index])], [cars])
    return sample


def panoramas_of(run: RunFolder) -> Path | None:
    """Return the folder of a run's own rows; none where they were cleared away."""
    folder = (run.stages / "panoramas").resolve()
    return folder if (folder / "manifest.json").is_file() else None


def constant_poses(panoramas: Path, config: MulticarConfig, poses: Doubles) -> Doubles | None:
    """Return [N, 4, 4] the best constant of the training split for cars; none without partners.

    Args:
        panoramas: Folder of the stage.
        config: Which cars make a sample.
        poses: [N, 4, 4] true poses in the main car's frame; only their number and order are read.
    """
    from gimbal.data.reading import BlockReader
    from gimbal_multicar.judging.baselines import fit_baselines, partners_of
    from gimbal_multicar.judging.rows import training_partners
    from gimbal_multicar.learning.samples import rule_of

    rule = rule_of(config.samples, training=False)
    fitted = fit_baselines(training_partners(BlockReader(panoramas), rule))
    if fitted is None:
        return None
    guess = fitted.fitted[fitted.best].predict(partners_of([poses], [""]))
    return np.concatenate([np.eye(4)[None], guess])
