"""The attention policy and its blind twin as a training task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gimbal_nbv.course import Course
from gimbal_nbv.extractors import format_of
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.state_source import StateSource
from gimbal_nbv.stages.twin_task import TwinTask, twin_groups

if TYPE_CHECKING:
    from torch import nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import ParameterGroups
    from gimbal_nbv.attention.policy import Moments
    from gimbal_nbv.protocol import SphereProtocol

_TOKEN_ROWS = 512


class AttentionTask(TwinTask):
    """A `gimbal.training.task.TrainTask`.

    Args:
        model: Which network.
        objective: What it is trained for.
        rows: Training states.
        protocol: Where candidates stand.
        course: Of the training; needed by objectives that draw.
        multiview: Of the multi-view model, where its tokens are read.
    """

    def __init__(
        self,
        model: ModelSettings,
        objective: ObjectiveSettings,
        rows: BlockReader,
        protocol: SphereProtocol,
        course: Course | None = None,
        multiview: MultiviewSettings | None = None,
    ) -> None:
        super().__init__(model, objective, rows, course)
        self._protocol = protocol
        self._multiview = multiview

    @property
    def _columns(self) -> tuple[str, ...]:
        columns: tuple[str, ...] = ("tokens", "views", "gains", "used")
        if self._model.candidate_features == "rays":
            columns += ("features", "blind")
        if self._objective.information_gain:
            columns += ("unknown_share", "coverage")
        return columns

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make both networks; inputs are standardised by the training states' moments."""
        from gimbal_nbv.attention.twins import build_twins

        model = build_twins(
            self._model,
            format_of(self._model.extractor, self._multiview),
            self._protocol.image_size,
            auxiliary=self._objective.information_gain > 0,
            moments=self._moments(),
        )
        return model, twin_groups(model.policy, model.blind)

    def source(self, split: str) -> StateSource:
        """Return the states of a split; a lone training object also validates."""
        return StateSource(self._rows, self._indices[split], self._columns, self._protocol)

    def _moments(self) -> tuple[Moments, Moments]:
        """Return what the policy and its twin standardise by; the twin's tokens are all zero."""
        import torch

        from gimbal_nbv.attention.policy import Moments

        sample = self._some_rows(("tokens", "views"), _TOKEN_ROWS)
        tokens = torch.from_numpy(sample["tokens"][sample["views"] >= 0].astype(np.float32))
        flat = tokens.reshape(-1, tokens.shape[-1])
        of_tokens = (flat.mean(0), flat.std(0))
        nothing = (torch.zeros_like(of_tokens[0]), torch.ones_like(of_tokens[1]))
        if self._model.candidate_features == "none":
            return Moments(tokens=of_tokens), Moments(tokens=nothing)
        given = self._some_rows(("features", "blind"))
        pair = {
            name: tuple(
                torch.as_tensor(
                    f(values.reshape(-1, values.shape[-1]), axis=0), dtype=torch.float32
                )
                for f in (np.mean, np.std)
            )
            for name, values in given.items()
        }
        return (
            Moments(tokens=of_tokens, features=(pair["features"][0], pair["features"][1])),
            Moments(tokens=nothing, features=(pair["blind"][0], pair["blind"][1])),
        )
