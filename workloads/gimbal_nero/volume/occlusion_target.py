"""How far a ray from a point is blocked by the surface itself: what the occlusion network learns.

Only sections in which the distance falls count, so a ray that leaves the surface it starts on is
not blocked by it (nero.md 4). Where distances are cached, they are marched through instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.volume.alpha import ray_weights, section_alpha
from gimbal_nero.volume.model import Rays
from gimbal_nero.volume.sampling import points_at, resample

_COARSE, _FINE = 64, 16
_EPSILON = 1e-5


def traced_occlusion(model: ShapeModel, points: Tensor, directions: Tensor) -> Tensor:
    """Return [M] in [0, 1], how far rays are blocked within the unit sphere.

    Args:
        model: The networks.
        points: [M, 3] starts in the unit sphere.
        directions: [M, 3] of length 1.
    """
    if not len(points):
        return points.new_zeros(0)
    rays = Rays(origins=points, directions=directions)
    along = (points * directions).sum(-1)
    rest = (1.0 - points.square().sum(-1)).clamp(min=0.0)
    leaves = (along.square() + rest).sqrt() - along
    with torch.no_grad(), parametrize.cached():
        inv_s = model.sharpness()
        coarse = leaves[:, None] * torch.linspace(
            0.0, 1.0, _COARSE, dtype=leaves.dtype, device=leaves.device
        )
        fine = resample(coarse, _weights(model, rays, coarse, inv_s), _FINE)
        return _weights(model, rays, fine, inv_s).sum(-1)


def _weights(model: ShapeModel, rays: Rays, along: Tensor, inv_s: Tensor) -> Tensor:
    """Return the weights [M, S - 1] of sections between distances [M, S]."""
    distance = model.distance.sdf if model.cache is None else model.cache.look_up
    sdf = distance(points_at(rays, along).flatten(0, 1)).view_as(along)
    length = along[:, 1:] - along[:, :-1]
    slope = (sdf[:, 1:] - sdf[:, :-1]) / (length + _EPSILON)
    middle = 0.5 * (sdf[:, 1:] + sdf[:, :-1])
    falling = slope < 0.0
    alpha = section_alpha(middle, slope.clamp(max=0.0), length, inv_s)
    return ray_weights(torch.where(falling, alpha, 0.0))
