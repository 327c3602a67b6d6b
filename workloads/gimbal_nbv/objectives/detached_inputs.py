"""What the detached objective works on: meshes that can be rendered, states of oracle maps.

Meshes are made when first asked for and kept, as many as fit a limit: a training batch asks for
the same few objects again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gimbal_nbv.model_settings import ObjectiveSettings
from gimbal_nbv.objectives.detached import DetachedSettings, DetachedStates
from gimbal_nbv.protocol import first_frames
from gimbal_nbv.reconstruction.fusion import decimated
from gimbal_nbv.states import States
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.rendering.raster import RasterRenderer

TRUTH_POINTS = 1000
"""Surface samples of a training step; the others would double its time and hardly move its
gradient."""


def detached_settings(objective: ObjectiveSettings, radius: float) -> DetachedSettings:
    """Return the loss that a config's objective asks for.

    Args:
        objective: The objective.
        radius: Distance of the cameras from the origin, in diagonals.
    """
    return DetachedSettings(radius=radius, sums=objective.sums, normalise=objective.normalise)


class MeshDepths:
    """Renders depth of numbered meshes on one CPU thread; a `DepthRenderer`.

    Args:
        mesh_of: Returns the normalised mesh of an object's number.
        image_size: Side of the square images in pixels.
        fov_deg: Their angle of view.
        kept: Meshes kept in memory.
    """

    def __init__(
        self,
        mesh_of: Callable[[int], Mesh],
        *,
        image_size: int = 48,
        fov_deg: float = 42.0,
        kept: int = 256,
    ) -> None:
        self._mesh_of = lru_cache(maxsize=kept)(mesh_of)
        self._raster = RasterRenderer(threads=1)
        self._size, self._fov_deg = image_size, fov_deg

    def render(self, objects: Sequence[int], poses: Tensor) -> tuple[Tensor, Tensor]:
        """Render each object from one pose; see `DepthRenderer.render`."""
        cameras = PinholeCameras.from_fov(
            poses.detach().double().cpu().numpy(), self._fov_deg, self._size, self._size
        )
        depth = np.empty((len(objects), self._size, self._size), np.float32)
        numbers = np.asarray(objects)
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            mesh = self._mesh_of(int(number))
            depth[rows] = self._raster.render(mesh, cameras[rows], ("depth",)).depth
        return torch.from_numpy(depth).to(poses.device), torch.tensor(cameras.K)


def detached_states(
    states: States,
    depth: NDArray[np.float32],
    *,
    number: int = 0,
    stride: int = 1,
    truth_points: int | None = None,
    settings: DetachedSettings | None = None,
) -> DetachedStates:
    """Describe states of one object for the detached objective.

    Args:
        states: B view sets.
        depth: z-depth of every candidate [M,H,W] in diagonals.
        number: What the renderer knows the object by.
        stride: Use every so many-th pixel of the earlier views.
        truth_points: Compare with this many surface samples (they come in random order); all where
            None. A thousand halve the time of a step.
        settings: Where given, the spread over the candidates is filled in.
    """
    protocol = states.oracle.protocol
    longest = int(states.counts.max())
    sets, there = states.sets[:, :longest], states.sets[:, :longest] >= 0
    cameras = protocol.cameras_of(depth.shape[-1])
    small, intrinsics = decimated(torch.tensor(depth), torch.from_numpy(cameras.K), stride)
    poses = torch.from_numpy(cameras.cam2world)
    chosen = torch.from_numpy(np.where(there, sets, 0).astype(np.int64))
    present = torch.from_numpy(there)
    return DetachedStates(
        objects=[number] * len(states),
        depths=small[chosen] * present[..., None, None],
        poses=poses[chosen],
        intrinsics=intrinsics[chosen],
        present=present,
        frames=torch.from_numpy(first_frames(states.oracle.protocol, states.sets[:, 0])),
        truth=[torch.tensor(states.oracle.samples[:truth_points])] * len(states),
        spread=None if settings is None else torch.from_numpy(chamfer_spread(states, settings)),
    )


def chamfer_spread(states: States, settings: DetachedSettings) -> NDArray[np.float64]:
    """Return the least and greatest mean Chamfer distance one more candidate leads to [B,2].

    Args:
        states: View sets of one object.
        settings: Squared or not.
    """
    after = candidate_chamfers(states, squared=settings.squared)
    return np.stack([after.min(axis=1), after.max(axis=1)], axis=-1)


def candidate_chamfers(states: States, *, squared: bool) -> NDArray[np.float64]:
    """Return the Chamfer distance after each candidate [B,M], means both ways."""
    oracle = states.oracle
    after = np.empty((len(states), oracle.views))
    for row in range(len(states)):
        views = np.broadcast_to(states.views(row), (oracle.views, int(states.counts[row])))
        extended = np.column_stack([views, np.arange(oracle.views)]).astype(np.int32)
        after[row] = oracle.chamfer(extended, squared=squared)
    return after
