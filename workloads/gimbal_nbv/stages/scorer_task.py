"""The scorer and its blind twin as a training task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gimbal_nbv.stages.state_source import StateSource
from gimbal_nbv.stages.twin_task import TwinTask, twin_groups

if TYPE_CHECKING:
    from torch import nn

    from gimbal.training.task import ParameterGroups

COLUMNS = ("features", "blind", "gains", "used", "views")


class ScorerTask(TwinTask):
    """A `gimbal.training.task.TrainTask`; see `TwinTask`."""

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make both networks; features are standardised by the training states' moments."""
        from gimbal_nbv.scorer import FeatureMoments, NbvModel

        sample = self._some_rows(("features", "blind"))
        moments = FeatureMoments.of(sample["features"], sample["blind"])
        model = NbvModel.build(moments, hidden=self._model.hidden)
        return model, twin_groups(model.policy, model.blind)

    def source(self, split: str) -> StateSource:
        """Return the states of a split; a lone training object also validates."""
        return StateSource(self._rows, self._indices[split], COLUMNS)
