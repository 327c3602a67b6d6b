"""Frames that stand on a surface: their z is the normal.

Reflectance is computed in them because a highlight of alpha .0016 is told apart by the x and y of
a half-vector, which single precision keeps, and not by 1 minus its cosine, which it rounds away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

GRAZING = 1e-3
"""Least cosine of a view: an interpolated normal may look away from a camera that sees it."""


def frames_of(normals: Tensor) -> Tensor:
    """Return [N, 3, 3] rotations whose rows are two tangents and the normal.

    Source: Duff et al., Building an Orthonormal Basis, Revisited (2017).

    Args:
        normals: [N, 3] of length 1.
    """
    x, y, z = normals.unbind(-1)
    sign = torch.where(z < 0.0, -1.0, 1.0).to(z.dtype)
    scale = -1.0 / (sign + z)
    shear = x * y * scale
    first = torch.stack([1.0 + sign * x.square() * scale, sign * shear, -sign * x], dim=-1)
    second = torch.stack([shear, sign + y.square() * scale, -y], dim=-1)
    return torch.stack([first, second, normals], dim=-2)


def to_surface(frames: Tensor, directions: Tensor) -> Tensor:
    """Turn [N, K, 3] directions of the world into the frames [N, 3, 3]."""
    return directions @ frames.transpose(-1, -2)


def to_world(frames: Tensor, directions: Tensor) -> Tensor:
    """Turn [N, K, 3] directions of the frames [N, 3, 3] into the world."""
    return directions @ frames


def local_view(frames: Tensor, towards: Tensor) -> Tensor:
    """Return [N, 1, 3] unit views in the frames, lifted to a cosine of about `GRAZING`."""
    view = to_surface(frames, towards[:, None])
    lifted = torch.cat([view[..., :2], view[..., 2:].clamp(min=GRAZING)], dim=-1)
    return functional.normalize(lifted, dim=-1)


def half_vectors(view: Tensor, lights: Tensor) -> Tensor:
    """Return the unit vectors [N, K, 3] halfway between views and lights."""
    return functional.normalize(view + lights, dim=-1)


def reflections(view: Tensor, halves: Tensor) -> Tensor:
    """Return views [N, 1, 3] mirrored by half-vectors [N, K, 3]."""
    return 2.0 * (view * halves).sum(-1, keepdim=True) * halves - view
