"""Few samples of a ray, where cached distances say that the surface is (nero.md 11).

Places are drawn from the cache's opacities, and refined where the network's own distances are asked
(NeuS's rounds, begun from a cache). Samples of empty cells are dropped, and a ray through empty
cells alone asks no network of distance at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gimbal_nero.fields.distance_cache import DistanceCache
from gimbal_nero.fields.settings import SamplingSettings
from gimbal_nero.volume.model import Jitter, Rays
from gimbal_nero.volume.sampling import (
    Distance,
    coarse_weights,
    points_at,
    resample,
    span,
)

_RESOLVED = 4.0
"""Most sharpness that a cache with cells of side 1 is asked with: its blend knows no better."""


@dataclass(frozen=True, kw_only=True)
class Guided:
    """Sections of R rays.

    Attributes:
        along: [R, S] where sections begin, increasing.
        lengths: [R, S]
        near_surface: [R, S] bool, whether their middles are where surface can be.
        far: [R] where rays leave the sphere.
    """

    along: Tensor
    lengths: Tensor
    near_surface: Tensor
    far: Tensor


def guided_sections(
    cache: DistanceCache,
    distance: Distance,
    rays: Rays,
    inv_s: Tensor,
    jitter: Jitter | None,
    settings: SamplingSettings,
) -> Guided:
    """Return where rays are asked in the unit sphere, without a gradient.

    Args:
        cache: Distances as they were a few steps ago.
        distance: The signed distance.
        rays: R rays.
        inv_s: The surface's sharpness, scalar.
        jitter: Random numbers; None: the middle of every bin.
        settings: How many.
    """
    near, far = span(rays, exact=True)
    steps = torch.linspace(0.0, 1.0, settings.uniform, dtype=near.dtype, device=near.device)
    coarse = near[:, None] + (far - near)[:, None] * steps
    spacing = (far - near) / (settings.uniform - 1)
    if jitter is not None:
        coarse = coarse + ((jitter.inner - 0.5) * spacing)[:, None]
    cached = cache.look_up(points_at(rays, coarse))
    reach = cache.reach(inv_s)
    met = ((cached.abs() < reach).any(-1) & (far > near)).nonzero().squeeze(-1)
    hit = Rays(origins=rays.origins[met], directions=rays.directions[met])
    blur = inv_s.clamp(max=_RESOLVED / cache.cell)
    weights = coarse_weights(hit, coarse[met], cached[met], blur)
    found = _refined(
        distance, hit, resample(coarse[met], weights, settings.per_round), inv_s, settings
    )
    lengths = torch.cat([found.diff(dim=-1), spacing[met, None]], dim=-1)
    lengths = torch.minimum(lengths, spacing[met, None])
    middles = points_at(hit, found + 0.5 * lengths)
    kept = (cache.look_up(middles).abs() < reach) & (middles.square().sum(-1) <= 1.0)
    return _of_all(rays, far, met, (found, lengths, kept))


def _refined(
    distance: Distance, rays: Rays, along: Tensor, inv_s: Tensor, settings: SamplingSettings
) -> Tensor:
    """Add samples where the network says that the surface is, sharper in each round."""
    for index in range(1, settings.rounds):
        sdf = distance(points_at(rays, along).flatten(0, 1)).view_as(along)
        sharpness = torch.full_like(inv_s, 64.0 * 2**index)
        if settings.clip_sharpness:
            sharpness = torch.minimum(sharpness, inv_s)
        weights = coarse_weights(rays, along, sdf, sharpness)
        new = resample(along, weights, settings.per_round)
        along = torch.cat([along, new], dim=-1).sort(dim=-1).values
    return along


def _of_all(rays: Rays, far: Tensor, met: Tensor, found: tuple[Tensor, Tensor, Tensor]) -> Guided:
    """Put the sections of some rays among all; the others end where the sphere does."""
    along, lengths, kept = found
    size = (len(rays.origins), along.shape[-1])
    return Guided(
        along=far[:, None].expand(size).index_copy(0, met, along),
        lengths=lengths.new_zeros(size).index_copy(0, met, lengths),
        near_surface=kept.new_zeros(size).index_copy(0, met, kept),
        far=far,
    )
