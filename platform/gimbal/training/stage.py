"""The stage that trains; `gimbal.training.running.run_training` runs it.

Importing this costs no torch: the plan of a run is made without it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gimbal.experiment.stage import Stage, StageInputs
from gimbal.training.settings import TrainSettings

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask


@dataclass(frozen=True, kw_only=True)
class TrainStage(Stage):
    """A stage whose result is a trained module."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch")

    @property
    @abstractmethod
    def train(self) -> TrainSettings:
        """The training settings, a part of `settings`."""

    @property
    def largest_batch(self) -> int | None:
        """Samples of one forward pass at most, where samples differ in size; None: no limit.

        The smaller of this and `resources.max_batch_per_worker` holds; neither changes a result.
        """
        return None

    @abstractmethod
    def task(self, inputs: StageInputs) -> TrainTask:
        """Make the task; called once in every worker, so files are opened here."""
