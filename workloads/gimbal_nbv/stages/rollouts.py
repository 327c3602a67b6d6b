"""Stage `rollouts`: every policy on every held-out object, from the same first views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage, Item
from gimbal.errors import ConfigError
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.config import OracleSettings, RolloutSettings, ViewSettings
from gimbal_nbv.model_settings import ModelSettings
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.reading import (
    DepthNoise,
    open_rows,
    protocol_of,
    read_images,
    read_oracle,
    rows_of_split,
)

if TYPE_CHECKING:
    from gimbal_nbv.policies import Policy
    from gimbal_nbv.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class RolloutsStage(DataStage):
    """Runs all policies on one object; one row a policy.

    Attributes:
        first_view: Where every rollout starts; from seeded views of each object where None.
        completion: Of the learned reconstruction, which then guides a baseline of its own.
        multiview: Of the multi-view model, where the policy reads its tokens.
    """

    libraries: ClassVar[tuple[str, ...]] = (*DataStage.libraries, "numba", "torch")

    settings: RolloutSettings
    views: ViewSettings
    oracle: OracleSettings
    model: ModelSettings
    first_view: int | None = None
    completion: CompletionSettings | None = None
    multiview: MultiviewSettings | None = None
    inputs: tuple[str, ...] = ("oracle", "constant", "train")
    items_per_block: int = 2

    @property
    def schema(self) -> BlockSchema:
        """One row a policy and object: R first views, K views, M candidates."""
        R, K, M = self.settings.first_views, self.settings.budget, self.views.candidates
        return BlockSchema.of(
            Column("object_id", "string"),
            Column("family", "string"),
            Column("source", "string"),
            Column("policy", "string"),
            Column("views", "int32", (R, K), description="in the order taken"),
            Column("coverage", "float64", (R, K), unit="share of samples"),
            Column("chamfer", "float64", (R, K), unit="bbox diagonal"),
            Column("scores", "float32", (R, K - 1, M)),
            Column("gains", "float32", (R, K - 1, M), unit="share of samples"),
            Column("used", "bool", (R, K - 1, M)),
            Column("cpu_s", "float64", unit="s", description="of one decision"),
            Column("chamfer_floor", "float64", unit="bbox diagonal", description="all M views"),
        )

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item a held-out object.

        Raises:
            ConfigError: Nothing is held out.
        """
        if self.settings.budget > self.views.candidates:
            raise ConfigError(
                f"evaluate.budget is {self.settings.budget}, but there are only "
                f"{self.views.candidates} candidates",
                "lower evaluate.budget or raise views.candidates",
            )
        rows = open_rows(inputs, "oracle")
        ids = list(rows.column("object_id"))
        return [{"id": str(ids[row]), "row": int(row)} for row in rows_of_split(rows, ["test"])]

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Run every policy on one object."""
        from gimbal_nbv.features import FeatureCache
        from gimbal_nbv.protocol import starts_of
        from gimbal_nbv.rollout import roll_out

        rows = open_rows(inputs, "oracle")
        protocol = protocol_of(self.views, self.oracle)
        oracle = read_oracle(rows, item["row"], protocol)
        record = rows[item["row"]]
        count = self.settings.first_views
        starts = starts_of(protocol, item["id"], count, self.seed, self.first_view)
        noise = DepthNoise(self.oracle.depth_noise, self.seed)
        images = read_images(inputs, item["id"], noise) if "views" in self.inputs else None
        cache = FeatureCache(oracle, capacity=256, images=images)
        floor = oracle.floor()
        for policy in self._policies(inputs):
            rollout = roll_out(policy, oracle, starts, self.settings.budget, cache)
            yield {name: str(record[name]) for name in ("object_id", "family", "source")} | {
                "policy": rollout.policy,
                **rollout.to_arrays(),
                "cpu_s": rollout.cpu_s,
                "chamfer_floor": floor,
            }

    def _policies(self, inputs: StageInputs) -> Sequence[Policy]:
        from gimbal_nbv.policy_list import PolicySources, listed_policies

        sources = PolicySources(
            model=self.model,
            image_size=self.views.image_size,
            grid=protocol_of(self.views, self.oracle).grid,
            seed=self.seed,
            completion=self.completion,
            multiview=self.multiview,
        )
        return listed_policies(sources, inputs)


def row_rollout(row: Mapping[str, Any]) -> Rollout:
    """Rebuild the rollout of a row."""
    from gimbal_nbv.rollout import Rollout

    names = ("views", "coverage", "chamfer", "scores", "gains")
    return Rollout(
        policy=str(row["policy"]),
        **{name: np.asarray(row[name]) for name in names},
        used=np.asarray(row["used"], dtype=np.bool_),
        cpu_s=float(row["cpu_s"]),
    )
