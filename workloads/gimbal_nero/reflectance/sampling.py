"""Directions that light is asked from, and how densely each way of choosing spreads them.

Directions and densities are of frames whose z is the normal (`frames`); densities are per
steradian. Highlights' directions lie below the surface in part, where they count for nothing. A
point set is the golden-ratio lattice: its heights are (k + shift) / K, uniform for a uniform
shift, where the published set takes an arc sine of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.reflectance.brdf import normal_distribution, slant
from gimbal_nero.reflectance.frames import half_vectors

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def golden_points(count: int, draws: Tensor) -> Tensor:
    """Return point sets [N, count, 2] in the unit square, one a point of the surface.

    Args:
        count: Points of a set.
        draws: [N, 2] in [0, 1): shift of the heights in strata, and turn.
    """
    steps = torch.arange(count, dtype=torch.float64, device=draws.device)
    heights = (steps.to(draws.dtype) + draws[:, :1]) / count
    turns = (steps * GOLDEN % 1.0).to(draws.dtype) + draws[:, 1:]
    return torch.stack([heights, turns % 1.0], dim=-1)


def cosine_directions(places: Tensor) -> Tensor:
    """Return directions [N, K, 3] above the surface with density cosine / pi.

    Args:
        places: [N, K, 2] in the unit square.
    """
    return on_ring(places[..., 0].sqrt(), (1.0 - places[..., 0]).sqrt(), places[..., 1])


def cosine_density(lights: Tensor) -> Tensor:
    """Return the density [N, K, 1] of `cosine_directions`."""
    return lights[..., 2:].clamp(min=0.0) / math.pi


def normal_halves(places: Tensor, alpha: Tensor) -> Tensor:
    """Return half-vectors [N, K, 3] with density D NoH (Walter et al. 2007).

    Args:
        places: [N, K, 2] in the unit square.
        alpha: [N, 1, 1]
    """
    share, alpha2 = places[..., 0], alpha[..., 0].square()
    spread = 1.0 + (alpha2 - 1.0) * share
    sine = (alpha2 * share / spread).sqrt()
    return on_ring(sine, ((1.0 - share).clamp(min=0.0) / spread).sqrt(), places[..., 1])


def normal_halves_density(view: Tensor, lights: Tensor, alpha: Tensor) -> Tensor:
    """Return the density [N, K, 1] of views [N, 1, 3] mirrored by `normal_halves`.

    Halves that look away from the view are left out: what they mirror comes from below.
    """
    halves = half_vectors(view, lights)
    along = (view * halves).sum(-1, keepdim=True).clamp(min=1e-6)
    return normal_distribution(halves, alpha) * halves[..., 2:].clamp(min=0.0) / (4.0 * along)


def visible_halves(places: Tensor, view: Tensor, alpha: Tensor) -> Tensor:
    """Return half-vectors [N, K, 3] of the normals that a view sees.

    Source: Dupuy and Benyoub, Sampling Visible GGX Normals with Spherical Caps (2023).

    Args:
        places: [N, K, 2] in the unit square.
        view: [N, 1, 3] above the surface.
        alpha: [N, 1, 1]
    """
    stretch = torch.cat([alpha, alpha, torch.ones_like(alpha)], dim=-1)
    stretched = functional.normalize(view * stretch, dim=-1)
    height = (1.0 - places[..., 0]) * (1.0 + stretched[..., 2]) - stretched[..., 2]
    cap = on_ring((1.0 - height.square()).clamp(min=0.0).sqrt(), height, places[..., 1])
    return functional.normalize((cap + stretched) * stretch, dim=-1)


def visible_halves_density(view: Tensor, lights: Tensor, alpha: Tensor) -> Tensor:
    """Return the density [N, K, 1] of views [N, 1, 3] mirrored by `visible_halves`."""
    halves = half_vectors(view, lights)
    cosine = view[..., 2:]
    density = normal_distribution(halves, alpha) / (2.0 * (cosine + slant(cosine, alpha)))
    return torch.where(halves[..., 2:] > 0.0, density, 0.0)


def on_ring(sine: Tensor, cosine: Tensor, turn: Tensor) -> Tensor:
    """Return vectors [..., 3] from sine and cosine to the z axis and a turn in [0, 1) about it."""
    azimuth = 2.0 * math.pi * turn
    return torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), cosine], dim=-1)
