"""What a diagnostic may read of a run: its objects, its policies, what its stages wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.stages.reading import (
    DepthNoise,
    images_of,
    open_rows,
    policy_rows,
    protocol_of,
    read_oracle,
    row_of,
    rows_of_split,
)

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader
    from gimbal_nbv.features import FeatureCache
    from gimbal_nbv.observing import ViewImages
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.policies import Policy
    from gimbal_nbv.protocol import SphereProtocol
    from gimbal_vision.meshes import Mesh


@dataclass(frozen=True, eq=False, kw_only=True)
class BenchObject:
    """One object of a run.

    Attributes:
        object_id: Its name.
        oracle: What every candidate sees of it.
        rows: Readers of the stages `meshes`, `views` and `oracle`.
        noise: Of its depth.
    """

    object_id: str
    oracle: OracleMap
    rows: StageRows
    noise: DepthNoise

    @property
    def family(self) -> str:
        """The family it is split by; objects of one family look alike."""
        row = row_of(self.rows.oracle)[self.object_id]
        return str(self.rows.oracle.column("family")[row])

    @property
    def mesh(self) -> Mesh:
        """The normalised mesh."""
        from gimbal_nbv.stages.meshes import row_mesh

        return row_mesh(self.rows.meshes[row_of(self.rows.meshes)[self.object_id]])

    @property
    def depth(self) -> NDArray[np.float32]:
        """z-depth of every candidate [M,H,W] as measured, in diagonals; 0 where nothing was hit."""
        row = row_of(self.rows.views)[self.object_id]
        depth = np.asarray(self.rows.views.fetch([row], ["depth"])["depth"][0])
        return self.noise.on(depth, self.object_id)

    def cache(self) -> FeatureCache:
        """Return what policies look at this object through, images among it."""
        from gimbal_nbv.features import FeatureCache

        return FeatureCache(self.oracle, capacity=256, images=self.images)

    @property
    def images(self) -> ViewImages:
        """The images of every candidate, as measured."""
        return images_of(self.rows.views, self.object_id, self.noise)


@dataclass(frozen=True, eq=False, kw_only=True)
class StageRows:
    """Readers shared by the objects of a bench."""

    meshes: BlockReader
    views: BlockReader
    oracle: BlockReader


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """A run under examination.

    Attributes:
        config: Its settings.
        inputs: Its finished stages by name; which ones a diagnostic needs is in the registry.
        objects_limit: Look at no more objects than this.
    """

    config: NbvConfig
    inputs: StageInputs
    objects_limit: int = 64

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return self.config.seed

    @property
    def protocol(self) -> SphereProtocol:
        """How its objects were measured."""
        return protocol_of(self.config.views, self.config.oracle)

    def objects(self, splits: Sequence[str] = ("test",)) -> Iterator[BenchObject]:
        """Yield objects of some splits, evenly spread where there are more than the limit.

        Args:
            splits: Of `train` and `test`.
        """
        rows = StageRows(
            meshes=open_rows(self.inputs, "meshes"),
            views=open_rows(self.inputs, "views"),
            oracle=open_rows(self.inputs, "oracle"),
        )
        chosen = rows_of_split(rows.oracle, splits)
        if len(chosen) > self.objects_limit:
            places = np.linspace(0, len(chosen) - 1, self.objects_limit).round().astype(np.int64)
            chosen = chosen[places]
        names = rows.oracle.column("object_id")
        for row in chosen:
            yield BenchObject(
                object_id=str(names[int(row)]),
                oracle=read_oracle(rows.oracle, int(row), self.protocol),
                rows=rows,
                noise=DepthNoise(self.config.oracle.depth_noise, self.seed),
            )

    def count(self, splits: Sequence[str] = ("test",)) -> int:
        """Return how many objects `objects` yields."""
        return min(len(rows_of_split(open_rows(self.inputs, "oracle"), splits)), self.objects_limit)

    def policy(self, name: str) -> Policy:
        """Return a policy of the run by its name in tables; its stages must be among the inputs."""
        from gimbal_nbv.run_policy import all_policies

        found = {policy.name: policy for policy in all_policies(self.config, self.inputs)}
        return found[name]

    def rollouts(self, object_id: str) -> dict[str, Mapping[str, Any]]:
        """Return the rows of stage `rollouts` of one object, by policy."""
        rows = open_rows(self.inputs, "rollouts")
        return {name: rows[row] for name, row in policy_rows(rows, object_id).items()}

    def folder(self, stage: str) -> Path:
        """Return the folder of a finished stage.

        Raises:
            CannotTell: The run has none.
        """
        if stage not in self.inputs:
            raise CannotTell(
                f"this run has no finished stage '{stage}'", "run its config again: it continues"
            )
        return self.inputs[stage].path
