"""The source's route as a training task: render where the policy points, learn from the pose alone.

States of a batch are grouped by object, since a step renders and compares object by object.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gimbal.experiment.stage import StageInputs
from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.stages.attention_task import AttentionTask
from gimbal_nbv.stages.reading import open_rows, read_images, read_oracle, row_of

if TYPE_CHECKING:
    from torch import Tensor

    from gimbal.training.task import Batch, LossTerms
    from gimbal_nbv.attention.inputs import PolicyOutput
    from gimbal_nbv.objectives.detached import DetachedSettings, DetachedStates
    from gimbal_nbv.objectives.detached_inputs import MeshDepths
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.protocol import SphereProtocol
    from gimbal_nbv.reconstruction.base import Reconstruction
    from gimbal_vision.meshes import Mesh

_TRUTH_POINTS = 1000
"""Surface samples of a step; the others would double its time and hardly move its gradient."""


class DetachedTask(AttentionTask):
    """A `gimbal.training.task.TrainTask`.

    Args:
        model: Which network; its head names a direction.
        objective: How the loss is measured.
        inputs: Stages `states`, `meshes`, `views`, `oracle`, and `completion` if it is used.
        protocol: Where cameras may stand.
        completion: Of the learned reconstruction; depth fusion where None.
    """

    def __init__(
        self,
        model: ModelSettings,
        objective: ObjectiveSettings,
        inputs: StageInputs,
        protocol: SphereProtocol,
        completion: CompletionSettings | None = None,
    ) -> None:
        super().__init__(model, objective, open_rows(inputs, "states"), protocol)
        self._inputs = inputs
        self._completion = completion
        self._names = [str(name) for name in self._rows.column("object_id")]
        self._place = row_of(open_rows(inputs, "oracle"))
        self._oracle = functools.lru_cache(maxsize=256)(self._read_oracle)

    def _terms(
        self, outputs: Mapping[str, PolicyOutput], batch: Batch, progress: float = 0.0
    ) -> LossTerms:
        rows = batch["row"].cpu().numpy()
        names = np.array([self._names[int(row)] for row in rows])
        sums: dict[str, Tensor] = {}
        for name in dict.fromkeys(names):
            places = np.flatnonzero(names == name)
            states = self._states(str(name), batch["views"][places].cpu().numpy())
            for network, output in outputs.items():
                if output.direction is None:
                    continue
                lost = self._lost(output, places, states)
                sums[network] = sums[network] + lost if network in sums else lost
        return {network: (total, len(rows)) for network, total in sums.items()}

    def _lost(self, output: PolicyOutput, places: np.ndarray, states: DetachedStates) -> Tensor:
        from gimbal_nbv.objectives.ascent import norm_penalty
        from gimbal_nbv.objectives.detached import detached_step

        if output.direction is None:
            raise TypeError("a direction is needed")
        directions = output.direction[places]
        step = detached_step(
            directions, states, self._renderer, self._reconstruction, self._settings
        )
        total: Tensor = step.loss.sum()
        if output.norm is not None:
            total = total + self._objective.norm_penalty * norm_penalty(output.norm[places])[0]
        return total

    @functools.cached_property
    def _settings(self) -> DetachedSettings:
        from gimbal_nbv.objectives.detached import DetachedSettings

        return DetachedSettings(
            radius=self._protocol.radius,
            sums=self._objective.sums,
            normalise="before" if self._objective.normalised else "none",
        )

    @functools.cached_property
    def _reconstruction(self) -> Reconstruction:
        if self._completion is None:
            from gimbal_nbv.reconstruction.fusion import DepthFusion

            return DepthFusion()
        from gimbal.training.checkpoints import best
        from gimbal_nbv.stages.completion import load_completion

        folder = self._inputs["completion"].path
        return load_completion(best(folder), self._completion, self._protocol.grid)

    @functools.cached_property
    def _renderer(self) -> MeshDepths:
        from gimbal_nbv.objectives.detached_inputs import MeshDepths

        return MeshDepths(self._mesh, image_size=self._size, fov_deg=self._protocol.fov_deg)

    @property
    def _stride(self) -> int:
        """Every so many-th pixel of the stored views, so that all images are of one size."""
        return max(self._protocol.image_size // self._objective.image_size, 1)

    @property
    def _size(self) -> int:
        return -(-self._protocol.image_size // self._stride)

    def _mesh(self, number: int) -> Mesh:
        from gimbal_nbv.stages.meshes import row_mesh

        name = next(name for name, place in self._place.items() if place == number)
        meshes = open_rows(self._inputs, "meshes")
        return row_mesh(meshes[row_of(meshes)[name]])

    def _states(self, name: str, sets: np.ndarray) -> DetachedStates:
        from gimbal_nbv.objectives.detached_inputs import detached_states
        from gimbal_nbv.states import States

        return detached_states(
            States(self._oracle(name), np.asarray(sets, dtype=np.int32)),
            self._depth(name),
            number=self._place[name],
            stride=self._stride,
            truth_points=_TRUTH_POINTS,
        )

    def _read_oracle(self, name: str) -> OracleMap:
        rows = open_rows(self._inputs, "oracle")
        return read_oracle(rows, self._place[name], self._protocol)

    def _depth(self, name: str) -> np.ndarray:
        return read_images(self._inputs, name).depth
