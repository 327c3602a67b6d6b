"""Stage `noise`: all policies on every held-out object, under depth noise and pose noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import DataStage, Item
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.noise.settings import AXES, NoiseSettings
from gimbal_nbv.stages.reading import open_rows, protocol_of, read_oracle, row_of, rows_of_split

CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class NoiseStage(DataStage):
    """Rolls every policy out on one object at one level of noise; one row a policy.

    Attributes:
        config: Settings of the examined run.
    """

    libraries: ClassVar[tuple[str, ...]] = (*DataStage.libraries, "numba", "pykdtree", "torch")

    settings: NoiseSettings
    config: NbvConfig
    inputs: tuple[str, ...] = ("views", "oracle", "train", "constant")
    items_per_block: int = 4

    @property
    def schema(self) -> BlockSchema:
        """One row a policy, object and level: R first views, K views."""
        shape = (self.settings.first_views, self.settings.budget)
        return BlockSchema.of(
            Column("object_id", "string"),
            Column("axis", "string", description="clean, depth, rotation_deg or translation"),
            Column("level", "float64", unit="bbox diagonal, or degrees"),
            Column("policy", "string"),
            Column("views", "int32", shape, description="in the order taken"),
            Column("coverage", "float64", shape, unit="share of samples"),
            Column("chamfer", "float64", shape, unit="bbox diagonal"),
            Column("f_score", "float64", shape),
        )

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item a held-out object and level; objects are spread evenly over those there are."""
        rows = open_rows(inputs, "oracle")
        ids = list(rows.column("object_id"))
        chosen = rows_of_split(rows, ["test"])
        if len(chosen) > self.settings.objects:
            places = np.linspace(0, len(chosen) - 1, self.settings.objects).round().astype(int)
            chosen = chosen[places]
        levels = [(axis, level) for axis in AXES for level in self.settings.levels(axis)]
        return [
            {
                "id": f"{ids[row]}@{axis}={level:g}",
                "object_id": str(ids[row]),
                "row": int(row),
                "axis": axis,
                "level": level,
            }
            for row in chosen
            for axis, level in [(CLEAN, 0.0), *levels]
        ]

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Run every policy on one object."""
        from gimbal_nbv.features import FeatureCache
        from gimbal_nbv.noise.measuring import Noise, expecting, noisy_oracle
        from gimbal_nbv.protocol import starts_of
        from gimbal_nbv.rollout import roll_out
        from gimbal_nbv.run_policy import all_policies

        protocol = protocol_of(self.config.views, self.config.oracle)
        oracle = read_oracle(open_rows(inputs, "oracle"), item["row"], protocol)
        noise = Noise() if item["axis"] == CLEAN else Noise(**{item["axis"]: item["level"]})
        name = item["object_id"]
        views = open_rows(inputs, "views")
        depth = np.asarray(views.fetch([row_of(views)[name]], ["depth"])["depth"][0])
        seen, images = noisy_oracle(oracle, depth, noise, seed=self.seed, name=name)
        cache = FeatureCache(seen, capacity=256, images=images)
        count, first_view = self.settings.first_views, self.config.first_view
        starts = starts_of(protocol, name, count, self.seed, first_view)
        expects = expecting(oracle, depth, noise, seed=self.seed, name=name)
        for policy in (*all_policies(self.config, inputs), expects):
            rollout = roll_out(policy, seen, starts, self.settings.budget, cache)
            yield {key: item[key] for key in ("object_id", "axis", "level")} | {
                "policy": rollout.policy,
                "views": rollout.views,
                "coverage": rollout.coverage,
                "chamfer": rollout.chamfer,
                "f_score": np.stack(
                    [seen.f_score(rollout.views[:, : k + 1]) for k in range(self.settings.budget)],
                    axis=1,
                ),
            }
