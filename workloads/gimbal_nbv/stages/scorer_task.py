"""The scorer and its blind twin as a training task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.course import Course
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.stages.state_source import StateSource, splits_of, validation_means

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source

COLUMNS = ("features", "blind", "gains", "used", "views")
_MOMENT_ROWS = 4096


class ScorerTask:
    """A `gimbal.training.task.TrainTask`.

    Args:
        model: The scorer's size and the softness of its targets.
        objective: What it is trained for.
        rows: Training states.
        course: Of the training; needed by objectives that draw.
    """

    def __init__(
        self,
        model: ModelSettings,
        objective: ObjectiveSettings,
        rows: BlockReader,
        course: Course | None = None,
    ) -> None:
        self._course = course or Course()
        self._model = model
        self._objective = objective
        self._rows = rows
        self._indices = splits_of(rows)

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make both networks; features are standardised by the training states' moments."""
        from gimbal_nbv.scorer import FeatureMoments, NbvModel

        sample = moment_rows(self._rows, self._indices["train"], ("features", "blind"))
        moments = FeatureMoments.of(sample["features"], sample["blind"])
        model = NbvModel.build(moments, hidden=self._model.hidden)
        return model, [
            {"name": "policy", "params": list(model.policy.parameters())},
            {"name": "blind", "params": list(model.blind.parameters())},
        ]

    def source(self, split: str) -> StateSource:
        """Return the states of a split; a lone training object also validates."""
        return StateSource(self._rows, self._indices[split], COLUMNS)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the objective of both networks."""
        batch = self._course.drawn(batch, step, self._objective)
        return self._terms(module(batch), batch, self._course.progress(step))

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return the loss and the regret of both networks on states of held-out objects."""

        def score(batch: Batch) -> tuple[LossTerms, Mapping[str, Tensor]]:
            scores = module(batch)
            return self._terms(scores, batch), scores

        return validation_means(module, source, score)

    def _terms(
        self, scores: Mapping[str, Tensor], batch: Batch, progress: float = 0.0
    ) -> LossTerms:
        from gimbal_nbv.objectives.configured import network_loss

        return {
            name: network_loss(values, batch, self._model, self._objective, progress)
            for name, values in scores.items()
        }


def moment_rows(
    rows: BlockReader, indices: np.ndarray[Any, np.dtype[np.int64]], columns: tuple[str, ...]
) -> dict[str, Any]:
    """Return some columns of evenly spread rows, enough to standardise by."""
    count = min(len(indices), _MOMENT_ROWS)
    some = indices[np.linspace(0, len(indices) - 1, count, dtype=np.int64)]
    return dict(rows.fetch(some, columns))
