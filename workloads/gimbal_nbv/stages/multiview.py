"""Stage `multiview`: the multi-view model, trained on views of training objects only."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.completion import training_rows
from gimbal_nbv.stages.reading import DepthNoise, open_rows

if TYPE_CHECKING:
    from gimbal_nbv.multiview.task import MultiviewTask
    from gimbal_vision.multiview.model import MultiViewModel


@dataclass(frozen=True, kw_only=True)
class MultiviewStage(TrainStage):
    """Trains the multi-view model; of the oracle maps it reads only which objects there are."""

    settings: MultiviewSettings
    views: ViewSettings
    oracle: OracleSettings
    inputs: tuple[str, ...] = ("views", "oracle")

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    def task(self, inputs: StageInputs) -> MultiviewTask:
        """Open the views."""
        from gimbal_nbv.multiview.task import MultiviewTask

        oracles = open_rows(inputs, "oracle")
        names = [str(name) for name in oracles.column("object_id")]
        train, val = training_rows(oracles, self.settings.validation_share, self.seed)
        parts = tuple(names[row] for row in train), tuple(names[row] for row in val)
        noise = DepthNoise(self.oracle.depth_noise, self.seed)
        return MultiviewTask(self.settings, open_rows(inputs, "views"), parts, noise)


@functools.lru_cache(maxsize=2)
def load_multiview(folder: Path, settings: MultiviewSettings) -> MultiViewModel:
    """Rebuild the network of a finished stage, frozen.

    Args:
        folder: The stage's folder.
        settings: The settings it was trained with.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    from gimbal.training.checkpoints import best, load
    from gimbal_nbv.multiview.network import build_network

    model = build_network(settings)
    model.load_state_dict(load(best(folder))["model"])
    return model.eval().requires_grad_(False)
