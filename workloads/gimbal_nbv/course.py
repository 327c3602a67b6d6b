"""Where in training a step is, for objectives that draw or anneal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gimbal_nbv.model_settings import ObjectiveSettings


@dataclass(frozen=True, kw_only=True)
class Course:
    """The training a step is part of.

    Attributes:
        seed: The experiment's seed.
        steps: Optimizer steps of the whole training.
    """

    seed: int = 0
    steps: int = 1

    def progress(self, step: int) -> float:
        """Return how far training is at a step, 0 to 1."""
        return step / self.steps

    def drawn(
        self, batch: dict[str, Any], step: int, objective: ObjectiveSettings
    ) -> dict[str, Any]:
        """Return the batch with the numbers a drawing objective needs: keyed by sample and step."""
        if not objective.gumbel:
            return batch
        from gimbal.training.keyed import keyed_uniform

        shape = batch["used"].shape[1:]
        uniform = keyed_uniform(self.seed, step, batch["sample_ids"], shape, stream="gumbel")
        return {**batch, "uniform": uniform}
