"""Stage `oracle`: what every candidate sees of every object, so that any view set costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gimbal.data.schema import BlockSchema, Column
from gimbal.data.stage import BadItem, DataStage, Item
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.stages.reading import object_items, open_rows, oracle_seed, protocol_of


@dataclass(frozen=True, kw_only=True)
class OracleStage(DataStage):
    """Measures coverage, distances and voxels of all candidates of one object."""

    libraries: ClassVar[tuple[str, ...]] = (*DataStage.libraries, "numba", "embreex", "pykdtree")

    settings: OracleSettings
    views: ViewSettings
    inputs: tuple[str, ...] = ("meshes", "views")
    items_per_block: int = 4

    @property
    def schema(self) -> BlockSchema:
        """One row an object."""
        M = self.views.candidates
        words = protocol_of(self.views, self.settings).grid ** 3 // 8
        return BlockSchema.of(
            Column("object_id", "string"),
            Column("family", "string"),
            Column("split", "string"),
            Column("source", "string"),
            Column("visible", "uint8", (M, None), description="bit rows over the samples"),
            Column("distance", "float16", (M, None), unit="bbox diagonal"),
            Column("accuracy", "float64", (M, 4), description="sums; see OracleMap"),
            Column("free", "uint8", (M, words), description="bit rows over the voxels"),
            Column("surface", "uint8", (M, words), description="bit rows over the voxels"),
            Column("samples", "float32", (None, 3), unit="bbox diagonal", frame="object"),
        )

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """One item an object."""
        return object_items(inputs, "views")

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Measure one object.

        Raises:
            BadItem: One view sees nearly all of it, or hardly any of it can be seen.
        """
        from gimbal_nbv.building import build_oracle
        from gimbal_nbv.errors import UnusableObject
        from gimbal_nbv.stages.meshes import row_mesh

        row = open_rows(inputs, "meshes")[item["row"]]
        depth = open_rows(inputs, "views").fetch([item["row"]], ["depth"])["depth"][0]
        protocol = protocol_of(self.views, self.settings)
        seed = oracle_seed(self.seed, item["id"])
        try:
            oracle = build_oracle(row_mesh(row), protocol, seed=seed, depth=depth)
        except UnusableObject as exc:
            raise BadItem(f"{item['id']}: {exc.message}", exc.remedy) from exc
        arrays = oracle.to_arrays()
        for name in ("visible", "free", "surface"):
            arrays[name] = np.ascontiguousarray(arrays[name]).view(np.uint8)
        yield arrays | {name: row[name] for name in ("object_id", "family", "split", "source")}
