"""Where the detached gradient would push a camera that stands at each candidate.

Drawn over the true gains, this shows the bias of the source's route at a glance: an arrow says how
the reconstruction would improve if the same picture were *labelled* with another pose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from gimbal_nbv.diagnostics.detached_means import DetachedMeans, Fallback
from gimbal_nbv.objectives.detached import detached_step
from gimbal_nbv.objectives.detached_inputs import MeshDepths, detached_states
from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.states import States
from gimbal_vision.meshes import Mesh

FALLBACK = Fallback(side=48, truth_points=1000)
"""Images and surface samples where the run's objective is another."""


def descent(
    oracle: OracleMap, taken: Sets, depth: NDArray[np.float32], mesh: Mesh, means: DetachedMeans
) -> NDArray[np.float64]:
    """Return the descent directions of the detached loss at every candidate [M,3].

    Vectors are tangent to the sphere; the longest has length 1, taken candidates have 0. New views
    are rendered anew, because the loss rolls its cameras otherwise than the protocol.

    Args:
        oracle: The object.
        taken: Views taken [K].
        depth: z-depth of every candidate [M,H,W] in diagonals, 0 where nothing was hit.
        mesh: The normalised mesh.
        means: The loss and what it is measured on; see `FALLBACK` for other objectives.
    """
    protocol, count = oracle.protocol, oracle.views
    states = States(oracle, np.repeat(taken[None], count, axis=0))
    described = detached_states(
        states, depth, stride=means.stride(depth.shape[-1]), truth_points=means.truth_points
    )
    size = int(described.depths.shape[-1])
    renderer = MeshDepths(lambda _: mesh, image_size=size, fov_deg=protocol.fov_deg)
    settings = replace(means.settings, normalise="none")
    place = torch.tensor(protocol.directions, dtype=described.frames.dtype, requires_grad=True)
    world = (described.frames.transpose(1, 2) @ place[..., None])[..., 0]
    step = detached_step(world, described, renderer, means.reconstruction, settings)
    (gradient,) = torch.autograd.grad(step.loss.sum(), place)
    return _tangent(-gradient.double().numpy(), protocol.directions, states.used[0])


def _tangent(
    pushed: NDArray[np.float64], directions: NDArray[np.float64], used: NDArray[np.bool_]
) -> NDArray[np.float64]:
    along = pushed - (pushed * directions).sum(axis=1, keepdims=True) * directions
    along[used] = 0.0
    longest = float(np.linalg.norm(along, axis=1).max())
    return np.asarray(along / longest if longest > 0 else along)
