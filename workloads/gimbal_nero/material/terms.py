"""The losses of points of a surface as sums and counts (nero.md 6.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal_nero.learning.terms import Term
from gimbal_nero.material.fit_settings import MaterialLossSettings
from gimbal_nero.material.networks import Material
from gimbal_nero.reflectance.frames import frames_of, to_world
from gimbal_nero.volume.colour import to_srgb

_LOW, _HIGH = 0.02, 0.98
_WHITE = 254.5 / 255.0


def colour_term(radiance: Tensor, rgb: Tensor, settings: MaterialLossSettings) -> Term:
    """Return the Charbonnier loss of [N, 3] radiance against [N, 3] sRGB in [0, 1]."""
    said = to_srgb(radiance.clamp(min=0.0))
    if settings.clip_white:
        said = torch.where(rgb > _WHITE, said.clamp(max=1.0), said)
    loss = ((said - rgb).square().sum(-1) + settings.charbonnier_epsilon).sqrt()
    return loss.sum(), _count(loss)


def beside(points: Tensor, normals: Tensor, drawn: Tensor, radius: float) -> Tensor:
    """Return points [N, 3] moved within their tangent planes.

    Args:
        points: [N, 3]
        normals: [N, 3] of length 1.
        drawn: [N, 2] a uniform number for the direction, and a normal one for how far.
        radius: Standard deviation of how far.
    """
    angle = 2.0 * math.pi * drawn[:, :1]
    flat = torch.cat([angle.cos(), angle.sin(), torch.zeros_like(angle)], dim=-1)
    across = to_world(frames_of(normals), flat[:, None])[:, 0]
    return points + radius * drawn[:, 1:] * across


def smoothness_term(here: Material, there: Material) -> Term:
    """Return how far the material of N points is from that beside them: |dm| + |da| + |dalpha|."""
    pairs = (
        (here.metallic, there.metallic),
        (here.alpha, there.alpha),
        (here.albedo, there.albedo),
    )
    loss = torch.stack([(a - b).abs().mean(-1) for a, b in pairs]).sum(0)
    return loss.sum(), _count(loss)


def range_term(material: Material) -> Term:
    """Return how far metallic and alpha of N points are beyond [.02, .98] and its squares."""
    alpha, metallic = material.alpha[:, 0], material.metallic[:, 0]
    loss = (
        torch.relu(alpha - _HIGH**2)
        + torch.relu(_LOW**2 - alpha)
        + torch.relu(metallic - _HIGH)
        + torch.relu(_LOW - metallic)
    )
    return loss.sum(), _count(loss)


def neutral_light_term(diffuse_light: Tensor) -> Term:
    """Return the colour of the mean light [N, 3] at each point, as a picture would show it."""
    shown = to_srgb(diffuse_light).clamp(0.0, 1.0)
    loss = (shown - shown.mean(-1, keepdim=True)).abs().sum(-1)
    return loss.sum(), _count(loss)


def _count(values: Tensor) -> Tensor:
    return torch.tensor(len(values), device=values.device)
