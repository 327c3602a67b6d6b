"""Does the detached gradient point where the loss really falls?

F(Q, P) is the loss when the picture taken at P is declared to be at pose Q. The loss of a view is
L(P) = F(P, P); its gradient has two parts, and the detached route keeps the one of Q. Here that
part, by autograd, is compared with the whole, by central differences that render anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gimbal_nbv.objectives.detached import (
    DepthRenderer,
    DetachedSettings,
    DetachedStates,
    NewViews,
    chamfer_with,
    detached_step,
)
from gimbal_nbv.objectives.look_at import look_at_pose
from gimbal_nbv.reconstruction.base import Reconstruction

STEP_RAD = 0.12
"""Half the width of the central difference: beyond the noise of pixels and nearest neighbours."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two gradients at B places of the sphere, each along the same two tangents.

    Attributes:
        detached: [B,2], of the declared pose alone.
        true: [B,2], of the loss with the view rendered anew.
    """

    detached: Values
    true: Values

    @property
    def cosine(self) -> Values:
        """[B]; 0 where one of the gradients vanishes."""
        lengths = _length(self.detached) * _length(self.true)
        products = np.einsum("bi,bi->b", self.detached, self.true)
        return np.asarray(products / np.maximum(lengths, 1e-300))

    @property
    def ratio(self) -> Values:
        """Length of the detached gradient over that of the true one [B]."""
        return _length(self.detached) / np.maximum(_length(self.true), 1e-300)

    @classmethod
    def joined(cls, parts: list[Agreement]) -> Agreement:
        """Put several together."""
        return cls(
            np.concatenate([part.detached for part in parts]),
            np.concatenate([part.true for part in parts]),
        )


def agreement(
    world: Tensor,
    states: DetachedStates,
    renderer: DepthRenderer,
    reconstruction: Reconstruction,
    settings: DetachedSettings,
) -> Agreement:
    """Compare both gradients of the raw loss; normalising it would change neither's direction.

    Args:
        world: Where the next camera is thought to stand, unit vectors [B,3] in the world.
        states: One state for each.
        renderer: Renders the next views.
        reconstruction: What the loss is measured on.
        settings: The loss.
    """
    raw = replace(settings, normalise="none")
    upright = replace(states, frames=torch.eye(3).to(world).expand(len(states), 3, 3))
    place = world.detach().clone().requires_grad_()
    step = detached_step(place, upright, renderer, reconstruction, raw)
    (gradient,) = torch.autograd.grad(step.loss.sum(), place)
    axes = tangents(world)
    true = []
    for axis in axes.unbind(1):
        both = [
            _loss_at(world, sign * axis, upright, (renderer, reconstruction, raw))
            for sign in (1.0, -1.0)
        ]
        true.append((both[0] - both[1]) / (2 * STEP_RAD))
    along = (axes * gradient[:, None]).sum(-1)
    return Agreement(along.double().numpy(), torch.stack(true, dim=-1).double().numpy())


def tangents(directions: Tensor) -> Tensor:
    """Return two unit vectors [B,2,3] across each unit vector and each other."""
    axes: Tensor = torch.linalg.svd(directions[:, None])[2][:, 1:]
    return axes


def _loss_at(
    world: Tensor,
    axis: Tensor,
    states: DetachedStates,
    means: tuple[DepthRenderer, Reconstruction, DetachedSettings],
) -> Tensor:
    """Return the loss [B] of views one step along a great circle away, rendered there."""
    renderer, reconstruction, settings = means
    moved = np.cos(STEP_RAD) * world + np.sin(STEP_RAD) * axis
    pose = look_at_pose(moved, settings.radius)
    depth, intrinsics = renderer.render(states.objects, pose)
    new = NewViews(depth=depth, poses=pose, intrinsics=intrinsics)
    with torch.no_grad():
        return chamfer_with(states, new, reconstruction, settings)


def _length(vectors: Values) -> Values:
    return np.asarray(np.linalg.norm(vectors, axis=-1))
