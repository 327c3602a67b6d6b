"""The source's route as a training task: render where the policy points, learn from the pose alone.

States of a batch are grouped by object, since a step renders and compares object by object.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.experiment.stage import StageInputs
from gimbal_nbv.learned import reconstruction_of
from gimbal_nbv.learned_settings import Learned
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.stages.attention_task import AttentionTask
from gimbal_nbv.stages.reading import DepthNoise, open_rows, read_images, read_oracle, row_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gimbal.training.task import Batch, LossTerms, Source
    from gimbal_nbv.attention.inputs import PolicyOutput
    from gimbal_nbv.objectives.detached import DetachedSettings, DetachedStates
    from gimbal_nbv.objectives.detached_inputs import MeshDepths
    from gimbal_nbv.objectives.pose_gradient import GradientFlow
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.protocol import SphereProtocol
    from gimbal_nbv.reconstruction.base import Reconstruction
    from gimbal_vision.meshes import Mesh

_FLOW_STATES = 8
"""States whose gradient is followed at each validation."""


class DetachedTask(AttentionTask):
    """A `gimbal.training.task.TrainTask`.

    Args:
        model: Which network; its head names a direction.
        objective: How the loss is measured.
        inputs: Stages `states`, `meshes`, `views`, `oracle`, and that of a learned reconstruction.
        protocol: Where cameras may stand.
        noise: Of the views that are there; what a step renders anew is exact.
        learned: Settings of the networks that tokens or the reconstruction come from.
    """

    def __init__(
        self,
        model: ModelSettings,
        objective: ObjectiveSettings,
        inputs: StageInputs,
        protocol: SphereProtocol,
        noise: DepthNoise,
        learned: Learned | None = None,
    ) -> None:
        learned = learned or Learned()
        rows = open_rows(inputs, "states")
        super().__init__(model, objective, rows, protocol, multiview=learned.multiview)
        self._inputs = inputs
        self._noise = noise
        self._learned = learned
        self._names = [str(name) for name in self._rows.column("object_id")]
        self._place = row_of(open_rows(inputs, "oracle"))
        self._oracle = functools.lru_cache(maxsize=256)(self._read_oracle)
        self._watched: GradientFlow | None = None

    def _terms(
        self, outputs: Mapping[str, PolicyOutput | Tensor], batch: Batch, progress: float = 0.0
    ) -> LossTerms:
        rows = batch["row"].cpu().numpy()
        names = np.array([self._names[int(row)] for row in rows])
        sums: dict[str, Tensor] = {}
        for name in dict.fromkeys(names):
            places = np.flatnonzero(names == name)
            states = self._states(str(name), batch["views"][places].cpu().numpy())
            for network, output in outputs.items():
                lost = self._lost(output, places, states)
                sums[network] = sums[network] + lost if network in sums else lost
        return {network: (total, len(rows)) for network, total in sums.items()}

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return what every task validates, and where the gradient goes on its way from the pose.

        `flow/pose/*` are norms of the gradient on declared poses, `flow/<module>` those behind each
        larger module of the policy, `flow/missing` how many modules no gradient came to.
        """
        return {**super().validate(module, source), **self._flow(module, source)}

    def _flow(self, module: nn.Module, source: Source) -> dict[str, float]:
        import torch

        from gimbal_nbv.attention.twins import AttentionTwins
        from gimbal_nbv.objectives.pose_gradient import GradientFlow, summary

        if not isinstance(module, AttentionTwins):
            return {}
        device = next(module.parameters()).device
        fetched = source.fetch(np.arange(min(len(source), _FLOW_STATES)))
        batch = {name: torch.as_tensor(value).to(device) for name, value in fetched.items()}
        with torch.enable_grad(), GradientFlow(module.policy) as flow:
            self._watched = flow
            (total, count), *_ = self._terms({"policy": module.sighted(batch)}, batch).values()
            wanted = [p for p in module.policy.parameters() if p.requires_grad]
            torch.autograd.grad(total / float(count or 1), wanted, allow_unused=True)
            self._watched = None
        return summary(flow.numbers())

    def _lost(
        self, output: PolicyOutput | Tensor, places: np.ndarray, states: DetachedStates
    ) -> Tensor:
        import torch

        from gimbal_nbv.objectives.ascent import norm_penalty
        from gimbal_nbv.objectives.detached import detached_step

        if isinstance(output, torch.Tensor) or output.direction is None:
            raise TypeError("a direction is needed")
        directions = output.direction[places]
        step = detached_step(
            directions, states, self._renderer, self._reconstruction, self._settings
        )
        if self._watched is not None:
            self._watched.watch_pose(step.pose)
        total: Tensor = step.loss.sum()
        if output.norm is not None:
            total = total + self._objective.norm_penalty * norm_penalty(output.norm[places])[0]
        return total

    @functools.cached_property
    def _settings(self) -> DetachedSettings:
        from gimbal_nbv.objectives.detached_inputs import detached_settings

        return detached_settings(self._objective, self._protocol.radius)

    @functools.cached_property
    def _reconstruction(self) -> Reconstruction:
        name = self._objective.reconstruction
        return reconstruction_of(name, self._learned, self._inputs, self._protocol.grid)

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
        import torch

        from gimbal_nbv.objectives.detached_inputs import TRUTH_POINTS, detached_states
        from gimbal_nbv.states import States

        oracle = self._oracle(name)
        states = detached_states(
            States(oracle, np.asarray(sets, dtype=np.int32)),
            self._depth(name),
            number=self._place[name],
            stride=self._stride,
            truth_points=TRUTH_POINTS,
            settings=self._settings if self._objective.normalise == "range" else None,
        )
        if self._objective.sums or self._objective.reconstruction != "fusion":
            return states
        before = oracle.chamfer(np.asarray(sets, dtype=np.int32), squared=True)
        return dataclasses.replace(states, before=torch.from_numpy(before))

    def _read_oracle(self, name: str) -> OracleMap:
        rows = open_rows(self._inputs, "oracle")
        return read_oracle(rows, self._place[name], self._protocol)

    def _depth(self, name: str) -> np.ndarray:
        return read_images(self._inputs, name, self._noise).depth
