"""What every training of a policy beside its blind twin shares: loss, validation, splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.course import Course
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.stages.state_source import splits_of, validation_means

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
    from gimbal_nbv.attention.inputs import PolicyOutput

_MOMENT_ROWS = 4096


class TwinTask:
    """The common part of a `gimbal.training.task.TrainTask`; its module answers for both networks.

    Args:
        model: Which network, and the softness of its targets.
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

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the objective of both networks."""
        batch = self._course.drawn(batch, step, self._objective)
        return self._terms(module(batch), batch, self._course.progress(step))

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return the loss and the regret of both networks on states of held-out objects."""

        def score(batch: Batch) -> tuple[LossTerms, Mapping[str, Tensor]]:
            outputs = module(batch)
            scores = {name: _scores(output) for name, output in outputs.items()}
            return self._terms(outputs, batch), scores

        return validation_means(module, source, score)

    def _terms(
        self, outputs: Mapping[str, PolicyOutput | Tensor], batch: Batch, progress: float = 0.0
    ) -> LossTerms:
        from gimbal_nbv.objectives.configured import network_loss

        return {
            name: network_loss(output, batch, self._model, self._objective, progress)
            for name, output in outputs.items()
        }

    def _some_rows(self, columns: tuple[str, ...], most: int = _MOMENT_ROWS) -> dict[str, Any]:
        """Return some columns of evenly spread training states, enough to standardise by."""
        train = self._indices["train"]
        some = train[np.linspace(0, len(train) - 1, min(len(train), most), dtype=np.int64)]
        return dict(self._rows.fetch(some, columns))


def twin_groups(policy: nn.Module, blind: nn.Module) -> ParameterGroups:
    """Return the parameters of both networks, in a group each, so that they do not couple."""
    return [
        {"name": "policy", "params": list(policy.parameters())},
        {"name": "blind", "params": list(blind.parameters())},
    ]


def _scores(output: PolicyOutput | Tensor) -> Tensor:
    from torch import Tensor

    return output if isinstance(output, Tensor) else output.scores
