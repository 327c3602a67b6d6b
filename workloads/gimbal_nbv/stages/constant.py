"""Stage `constant`: the best fixed directions in the first view's frame, a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_writer
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.config import OracleSettings, RolloutSettings, ViewSettings
from gimbal_nbv.stages.reading import open_rows, protocol_of, read_oracle, rows_of_split

_OBJECTS = 64
"""More training objects than this no longer move the mean gain of a direction."""


@dataclass(frozen=True, kw_only=True)
class ConstantStage(TaskStage):
    """Fits the baseline `first_frame` to the training objects.

    Attributes:
        first_view: Where every rollout starts; anywhere where None.
    """

    settings: RolloutSettings
    views: ViewSettings
    oracle: OracleSettings
    first_view: int | None = None
    inputs: tuple[str, ...] = ("oracle",)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `directions.npy`, [K-1, 3]."""
        from gimbal_nbv.policies import FirstFramePolicy

        rows = open_rows(inputs, "oracle")
        protocol = protocol_of(self.views, self.oracle)
        chosen = rows_of_split(rows, ["train"])[:_OBJECTS]
        oracles = [read_oracle(rows, int(row), protocol) for row in chosen]
        policy = FirstFramePolicy.fit(
            oracles, budget=self.settings.budget, seed=self.seed, first_view=self.first_view
        )
        with atomic_writer(out_dir / "directions.npy") as file:
            np.save(file, policy.directions)
        return {"objects": len(oracles)}
