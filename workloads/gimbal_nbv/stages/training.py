"""Stage `train`: the scorer and its blind twin, side by side on the same states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_nbv.config import ModelSettings
from gimbal_nbv.stages.reading import open_rows

if TYPE_CHECKING:
    from torch import nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
    from gimbal_nbv.scorer import NbvModel

COLUMNS = ("features", "blind", "gains", "used")
_MOMENT_ROWS = 4096
_VALIDATION_BATCH = 256


class ScorerSettings(Settings):
    """What decides the trained scorer."""

    model: ModelSettings
    train: TrainSettings


@dataclass(frozen=True, kw_only=True)
class ScorerStage(TrainStage):
    """Trains the scorer by soft oracle targets."""

    settings: ScorerSettings
    inputs: tuple[str, ...] = ("states",)

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    def task(self, inputs: StageInputs) -> ScorerTask:
        """Open the states."""
        return ScorerTask(self.settings.model, open_rows(inputs, "states"))


class ScorerTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        settings: The scorer's size and the softness of its targets.
        rows: Training states.
    """

    def __init__(self, settings: ModelSettings, rows: BlockReader) -> None:
        self._settings = settings
        self._rows = rows
        splits = np.asarray(rows.column("split"), dtype=str)
        self._indices = {name: np.flatnonzero(splits == name) for name in ("train", "val")}

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make both networks; features are standardised by the training states' moments."""
        from gimbal_nbv.scorer import FeatureMoments, NbvModel

        train = self._indices["train"]
        some = train[np.linspace(0, len(train) - 1, min(_MOMENT_ROWS, len(train)), dtype=np.int64)]
        sample = self._rows.fetch(some, ["features", "blind"])
        moments = FeatureMoments.of(sample["features"], sample["blind"])
        model = NbvModel.build(moments, hidden=self._settings.hidden)
        return model, [
            {"name": "policy", "params": list(model.policy.parameters())},
            {"name": "blind", "params": list(model.blind.parameters())},
        ]

    def source(self, split: str) -> StateSource:
        """Return the states of a split; a lone training object also validates."""
        chosen = self._indices[split]
        return StateSource(self._rows, chosen if len(chosen) else self._indices["train"])

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the soft-target loss of both networks."""
        from gimbal_nbv.scorer import nbv_loss

        return nbv_loss(module, batch, self._settings.temperature)

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return the loss and the regret of both networks on states of held-out objects.

        Both are measured against `states.target`: runs with different targets are compared by the
        numbers of `evaluate`, never by these.
        """
        import torch

        from gimbal_nbv.scorer import nbv_loss, normalised_gains

        sums: dict[str, float] = {}
        for start in range(0, len(source), _VALIDATION_BATCH):
            index = np.arange(start, min(start + _VALIDATION_BATCH, len(source)))
            device = next(module.parameters()).device
            batch = {
                name: torch.as_tensor(value).to(device)
                for name, value in source.fetch(index).items()
            }
            for name, (total, _) in nbv_loss(module, batch, self._settings.temperature).items():
                sums[f"loss/{name}"] = sums.get(f"loss/{name}", 0.0) + float(total)
            utility = normalised_gains(batch["gains"], batch["used"])
            for name, scores in module(batch).items():
                taken = utility.gather(1, scores.argmax(1, keepdim=True))
                sums[f"regret/{name}"] = sums.get(f"regret/{name}", 0.0) + float((1 - taken).sum())
        means = {name: total / max(len(source), 1) for name, total in sums.items()}
        return means | {"loss": (means["loss/policy"] + means["loss/blind"]) / 2}


class StateSource:
    """Random access to the states of one split."""

    def __init__(self, rows: BlockReader, indices: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        self._rows = rows
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def fetch(self, indices: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return states as arrays: features, blind, gains, used."""
        rows = self._rows.fetch(self._indices[indices], COLUMNS)
        return rows | {"used": rows["used"].astype(np.bool_)}


def load_model(checkpoint: Path, settings: ModelSettings) -> NbvModel:
    """Rebuild the networks from a checkpoint, ready to score.

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
