"""How signed distance becomes opacity, and opacity weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_FLOOR = 1e-5

Density = Literal["cdf_ratio", "sigmoid"]


def annealed_slope(cosine: Tensor, anneal: float) -> Tensor:
    """Return the slope along a ray that rendering uses, at most 0 (NeuS's cosine annealing).

    Args:
        cosine: Direction times gradient, any shape; negative where the ray enters.
        anneal: 0: half as steep everywhere, so that surfaces seen from behind learn too; 1: true.
    """
    soft = torch.relu(0.5 - 0.5 * cosine)
    return -(soft * (1.0 - anneal) + torch.relu(-cosine) * anneal)


def section_alpha(
    sdf: Tensor, slope: Tensor, length: Tensor, inv_s: Tensor, density: Density = "cdf_ratio"
) -> Tensor:
    """Return the opacity of ray sections.

    `cdf_ratio` is NeuS's equation 13, unbiased at any incidence. `sigmoid` is the density
    inv_s sigmoid(-s inv_s), which is right at normal incidence only: it puts the surface too near.

    Args:
        sdf: At the middle of each section, any shape.
        slope: Of the distance along the ray there, at most 0.
        length: Of each section.
        inv_s: Sharpness, scalar.
        density: Which of the two.
    """
    if density == "sigmoid":
        return 1.0 - torch.exp(-inv_s * torch.sigmoid(-sdf * inv_s) * length)
    half = 0.5 * slope * length
    before, after = torch.sigmoid((sdf - half) * inv_s), torch.sigmoid((sdf + half) * inv_s)
    return ((before - after + _FLOOR) / (before + _FLOOR)).clamp(0.0, 1.0)


def ray_weights(alpha: Tensor) -> Tensor:
    """Return the share [R, S] of each section in what a ray sees, from opacities [R, S]."""
    passing = torch.cumprod(1.0 - alpha + 1e-7, dim=-1)
    before = torch.cat([torch.ones_like(passing[:, :1]), passing[:, :-1]], dim=-1)
    return alpha * before
