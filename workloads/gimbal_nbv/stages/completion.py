"""Stage `completion`: the learned reconstruction, trained on partial views of training objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.experiment.stage import StageInputs
from gimbal.training.settings import TrainSettings
from gimbal.training.stage import TrainStage
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.holding_out import held_out
from gimbal_nbv.stages.reading import open_rows, protocol_of, read_oracle, rows_of_split

if TYPE_CHECKING:
    from torch import nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
    from gimbal_nbv.protocol import SphereProtocol
    from gimbal_nbv.reconstruction.completion import Completion

Rows = np.ndarray[Any, np.dtype[np.int64]]

_VALIDATION_OBJECTS = 24
_VALIDATION_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class CompletionStage(TrainStage):
    """Trains the completion net; reads nothing but the oracle's voxel bits and samples."""

    settings: CompletionSettings
    views: ViewSettings
    oracle: OracleSettings
    inputs: tuple[str, ...] = ("oracle",)

    @property
    def train(self) -> TrainSettings:
        """The training settings."""
        return self.settings.train

    def task(self, inputs: StageInputs) -> CompletionTask:
        """Open the oracle maps."""
        rows = open_rows(inputs, "oracle")
        protocol = protocol_of(self.views, self.oracle)
        train, val = training_rows(rows, self.settings.validation_share, self.seed)
        return CompletionTask(self.settings, OracleRows(rows, protocol), (train, val), self.seed)


@dataclass(frozen=True, eq=False)
class OracleRows:
    """The oracle maps of a stage."""

    rows: BlockReader
    protocol: SphereProtocol


class CompletionTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        settings: Size, samples and training of the net.
        oracles: Where the objects are.
        parts: Row numbers of the objects to train and to validate on.
        seed: Decides which partial views are drawn.
    """

    def __init__(
        self, settings: CompletionSettings, oracles: OracleRows, parts: tuple[Rows, Rows], seed: int
    ) -> None:
        self._settings = settings
        self._oracles = oracles
        self._parts = {"train": parts[0], "val": parts[1]}
        self._seed = seed
        self.term_weights = {"surface": 1.0, "offset": settings.offset_weight}

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make the net."""
        from gimbal_nbv.reconstruction.completion_net import CompletionNet

        net = CompletionNet(self._settings.width)
        return net, [{"name": "completion", "params": list(net.parameters())}]

    def source(self, split: str) -> SetSource:
        """Return partial views of a split's objects; a lone training object also validates."""
        chosen = self._parts[split] if len(self._parts[split]) else self._parts["train"]
        longest = min(self._settings.longest, self._oracles.protocol.views)
        if split == "val":
            return SetSource(self._oracles, _spread(chosen), (longest, 0, False))
        rows = np.tile(chosen, self._settings.per_object)
        return SetSource(self._oracles, rows, (longest, self._seed, True))

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the losses of one batch."""
        from gimbal_nbv.reconstruction.completion_net import completion_loss

        return completion_loss(module, batch["codes"], batch["surface"], batch["offsets"])

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return losses, and how well unseen objects are completed.

        `iou` and `average_precision` are of the completed voxels; `iou_observed` and
        `average_precision_observed` are what the measured voxels alone reach.
        """
        from gimbal_nbv.reconstruction.completion_quality import quality_of

        batches = (
            source.fetch(np.arange(start, min(start + _VALIDATION_BATCH, len(source))))
            for start in range(0, len(source), _VALIDATION_BATCH)
        )
        return quality_of(module, batches, self._settings.threshold, self._settings.offset_weight)


class SetSource:
    """Random access to partial view sets: sample n is a set of the n-th row given.

    Args:
        oracles: Where the objects are.
        rows: Object of each sample; an object that appears twice gets two different sets.
        how: Largest number of views, a seed, and whether samples are turned.

    Attributes:
        rows: Object of each sample.
    """

    def __init__(self, oracles: OracleRows, rows: Rows, how: tuple[int, int, bool]) -> None:
        self._oracles = oracles
        self.rows = rows
        self._longest, self._seed, self._turn = how

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, indices: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return `codes` float32 [B,3,G,G,G], `surface` float32 [B,G,G,G] and `offsets`."""
        from gimbal_nbv.reconstruction.completion_data import completion_sample, one_hot

        samples = [
            completion_sample(
                read_oracle(self._oracles.rows, int(self.rows[i]), self._oracles.protocol),
                [self._seed, int(i)],
                longest=self._longest,
                turn=self._turn,
            )
            for i in indices
        ]
        return {
            "codes": one_hot(np.stack([sample.codes for sample in samples])),
            "surface": np.stack([sample.surface for sample in samples]).astype(np.float32),
            "offsets": np.stack([sample.offsets for sample in samples]),
        }


def training_rows(rows: BlockReader, share: float, seed: int) -> tuple[Rows, Rows]:
    """Split the rows of the training objects into those to train and those to validate on."""
    chosen = rows_of_split(rows, ["train"])
    names, families = rows.column("object_id"), rows.column("family")
    held = held_out({str(names[row]): str(families[row]) for row in chosen}, share, seed)
    validates = np.array([str(names[row]) in held for row in chosen], dtype=np.bool_)
    return chosen[~validates], chosen[validates]


def _spread(rows: Rows) -> Rows:
    """Return a few rows, five times each: one set of every length."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), _VALIDATION_OBJECTS)).round()
    return np.repeat(rows[places.astype(np.int64)], 5)


def load_completion(checkpoint: Path, settings: CompletionSettings, grid: int = 32) -> Completion:
    """Rebuild the reconstruction from a checkpoint of this stage.

    Args:
        checkpoint: Folder of a checkpoint.
        settings: The settings it was trained with.
        grid: Voxels along each side.

    Raises:
        StorageError: The checkpoint is damaged.
    """
    from gimbal.training.checkpoints import load
    from gimbal_nbv.reconstruction.completion import Completion
    from gimbal_nbv.reconstruction.completion_net import CompletionNet

    net = CompletionNet(settings.width)
    net.load_state_dict(load(checkpoint)["model"])
    return Completion(
        net.eval(),
        threshold=settings.threshold,
        keep_measured=settings.keep_measured,
        grid=grid,
    )
