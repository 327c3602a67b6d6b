"""How much of the light around a reflected ray a rough surface sends on (split sum).

For a GGX surface with height-correlated Smith shadowing, alpha = roughness^2, reflectance is
F0 A + B (Karis 2013). A and B are integrated over the *visible* half-vectors, where the integrand
is smooth, so 192 fixed points do what plain sampling of normals needs a hundred thousand for.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIDE = 256
_POLAR, _AZIMUTH = 24, 8


@functools.cache
def table(dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """Return A and B at texel centres [2, roughness 256, cosine 256], computed once a process."""
    return _table().to(device=device, dtype=dtype)


@functools.cache
def _table() -> Tensor:
    centres = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    rows = [torch.stack(directional_albedo(centres, roughness)) for roughness in centres]
    return torch.stack(rows, dim=1)


def look_up(cosine: Tensor, roughness: Tensor) -> tuple[Tensor, Tensor]:
    """Return A and B [N, 1], bilinear, constant beyond the outer texel centres.

    Args:
        cosine: [N, 1] between normal and view.
        roughness: [N, 1]
    """
    places = torch.cat([cosine, roughness], dim=-1).clamp(0.0, 1.0) * 2.0 - 1.0
    values = functional.grid_sample(
        table(cosine.dtype, cosine.device)[None],
        places[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    scale, offset = values[0, :, 0]
    return scale[:, None], offset[:, None]


def directional_albedo(cosine: Tensor, roughness: Tensor) -> tuple[Tensor, Tensor]:
    """Integrate A and B of one roughness.

    Half-vectors are those of Dupuy and Benyoub (2023): a spherical cap around the stretched view.

    Args:
        cosine: [K] float64 between normal and view, above 0.
        roughness: Scalar.

    Returns:
        A and B, each [K].
    """
    alpha = roughness.square()
    sine = (1.0 - cosine.square()).clamp(min=0.0).sqrt()
    view = torch.stack([sine, torch.zeros_like(sine), cosine], dim=-1)[:, None]
    half, weight = _visible_halves(view, alpha)
    along = (view * half).sum(-1, keepdim=True)
    light_cosine = (2.0 * along * half - view)[..., 2]
    of_view = _lambda(view[..., 2], alpha)
    shadowing = (1.0 + of_view) / (1.0 + of_view + _lambda(light_cosine.clamp(min=1e-9), alpha))
    grazing = (1.0 - along.squeeze(-1).clamp(0.0, 1.0)).pow(5)
    kept = weight * torch.where(light_cosine > 0.0, shadowing, 0.0)
    return ((1.0 - grazing) * kept).sum(-1), (grazing * kept).sum(-1)


def _visible_halves(view: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return half-vectors [K, P, 3] and their weights [P], which add up to 1.

    Gauss points in s with share = 1 - (1 - s)^2 crowd where half-vectors fall to the horizon; the
    mirror symmetry of phi halves their number.
    """
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(_POLAR))
    left = 0.5 - 0.5 * nodes
    azimuth = (torch.arange(_AZIMUTH, dtype=torch.float64) + 0.5) / _AZIMUTH * math.pi
    share, phi = torch.meshgrid(1.0 - left.square(), azimuth, indexing="ij")
    weight = (weights * left / _AZIMUTH)[:, None].expand_as(share).flatten()
    share, phi = share.flatten(), phi.flatten()
    stretch = torch.stack([alpha, alpha, torch.ones_like(alpha)])
    stretched = functional.normalize(view * stretch, dim=-1)
    height = (1.0 - share) * (1.0 + stretched[..., 2]) - stretched[..., 2]
    width = (1.0 - height.square()).clamp(min=0.0).sqrt()
    cap = torch.stack([width * phi.cos(), width * phi.sin(), height], dim=-1)
    return functional.normalize((cap + stretched) * stretch, dim=-1), weight


def _lambda(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return Smith's Lambda of GGX."""
    tangent2 = (1.0 - cosine.square()).clamp(min=0.0) / cosine.square()
    return 0.5 * ((1.0 + alpha.square() * tangent2).sqrt() - 1.0)
