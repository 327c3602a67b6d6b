"""One object, one view taken: what every run of `open_problem.py` trains and is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gimbal_nbv.attention.inputs import PolicyInputs, PolicyOutput
from gimbal_nbv.building import build_oracle, render_depth
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.objectives.detached import DetachedSettings, DetachedStates
from gimbal_nbv.objectives.detached_inputs import MeshDepths, candidate_chamfers, detached_states
from gimbal_nbv.observing import ViewImages, geometry_of, token_rows
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.states import States
from gimbal_vision.meshes import Mesh

STRIDE = 2
"""Pictures of the detached route are 48 pixels wide."""
TRUTH = 1000
"""Surface samples of its loss; the judge takes all."""


@dataclass(frozen=True, eq=False)
class SingleObject:
    """All states with one view of one made object.

    Attributes:
        family: A shape family.
        seed: Of the shape.
    """

    family: str
    seed: int

    @cached_property
    def protocol(self) -> SphereProtocol:
        return SphereProtocol()

    @cached_property
    def mesh(self) -> Mesh:
        return make_shape(self.family, self.seed)

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        return render_depth(self.mesh, self.protocol)

    @cached_property
    def oracle(self) -> OracleMap:
        return build_oracle(self.mesh, self.protocol, depth=self.depth)

    @cached_property
    def states(self) -> States:
        first = np.arange(self.protocol.views, dtype=np.int32)
        return States(self.oracle, first[:, None])

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """What each candidate lowers the squared Chamfer distance by [M,M]; 0 for the same view."""
        before = self.oracle.chamfer(self.states.sets, squared=True)
        gains = before[:, None] - candidate_chamfers(self.states, squared=True)
        np.fill_diagonal(gains, 0.0)
        return gains

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """Normalised gain [M,M]: 0 is the mean of the open candidates, 1 the best; used are NaN."""
        opened = np.where(self.states.used, np.nan, self.gains)
        mean, best = np.nanmean(opened, axis=1), np.nanmax(opened, axis=1)
        return (opened - mean[:, None]) / (best - mean)[:, None]

    @cached_property
    def inputs(self) -> PolicyInputs:
        """What a policy sees of every state."""
        images = ViewImages.of(self.depth, self.protocol)
        tokens = token_rows(self.states, images, extractor_of("pointmap")).astype(np.float32)
        geometry = geometry_of(self.states.sets, self.protocol)
        return PolicyInputs(
            tokens=torch.from_numpy(tokens),
            present=torch.from_numpy(geometry.present),
            view_directions=torch.from_numpy(geometry.view_directions),
            candidates=torch.from_numpy(geometry.candidates),
            used=torch.from_numpy(self.states.used),
        )

    @cached_property
    def detached(self) -> DetachedStates:
        """What the detached route measures every state on."""
        return detached_states(
            self.states,
            self.depth,
            stride=STRIDE,
            truth_points=TRUTH,
            settings=DetachedSettings(normalise="range"),
        )

    @cached_property
    def renderer(self) -> MeshDepths:
        size = int(self.detached.depths.shape[-1])
        return MeshDepths(lambda number: self.mesh, image_size=size, fov_deg=self.protocol.fov_deg)

    def world(self, direction: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Turn directions [B,3] of the first views' frames into the world."""
        frames = self.detached.frames[rows].to(direction)
        return (frames @ direction[..., None])[..., 0]

    def chosen_worth(self, output: PolicyOutput, in_world: bool) -> NDArray[np.float64]:
        """Return the normalised gain of the greedy choice from every first view [M].

        Args:
            output: The policy's answer to all states.
            in_world: Whether its direction means the world instead of the first view's frame.
        """
        scores = output.scores.detach().numpy()
        if in_world and output.direction is not None:
            scores = output.direction.detach().numpy() @ self.protocol.directions.T
        scores = np.where(self.states.used, -np.inf, scores)
        return self.worth[np.arange(len(scores)), scores.argmax(axis=1)]

    def antipode(self) -> NDArray[np.float64]:
        """Return the normalised gain of the candidate opposite each first view [M]."""
        directions = self.protocol.directions
        opposite = (directions @ directions.T).argmin(axis=1)
        return self.worth[np.arange(len(opposite)), opposite]


def rows_of(inputs: PolicyInputs, rows: NDArray[np.int64]) -> PolicyInputs:
    """Return some states of a batch."""
    return PolicyInputs(
        tokens=inputs.tokens[rows],
        present=inputs.present[rows],
        view_directions=inputs.view_directions[rows],
        candidates=inputs.candidates[rows],
        used=inputs.used[rows],
    )
