"""Where along a ray the fields are asked (nero.md 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gimbal_nero.fields.settings import SamplingSettings
from gimbal_nero.volume.alpha import ray_weights, section_alpha
from gimbal_nero.volume.model import Jitter, Rays

Distance = Callable[[Tensor], Tensor]
"""From points [N, 3] to distances [N]."""

_NEAREST = 1e-3
_PDF_FLOOR = 1e-5


def span(rays: Rays, exact: bool) -> tuple[Tensor, Tensor]:
    """Return where along each ray the unit sphere's samples begin and end, each [R].

    Args:
        rays: The rays.
        exact: Whether at the sphere itself (a ray that misses it: nowhere, at its nearest point),
            or one before and one after the nearest point, as published.
    """
    middle = -(rays.origins * rays.directions).sum(-1)
    half = torch.ones_like(middle)
    if exact:
        nearest = rays.origins + middle[:, None] * rays.directions
        half = (1.0 - nearest.square().sum(-1)).clamp(min=0.0).sqrt()
    far = (middle + half).clamp(min=_NEAREST)
    return torch.minimum((middle - half).clamp(min=_NEAREST), far), far


def inner_distances(
    distance: Distance,
    rays: Rays,
    inv_s: Tensor,
    jitter: Jitter | None,
    settings: SamplingSettings,
) -> Tensor:
    """Return sorted sample distances [R, uniform + rounds * per_round], without a gradient.

    Args:
        distance: The signed distance.
        rays: The rays.
        inv_s: The surface's sharpness, scalar.
        jitter: Random numbers; None: the middle of every bin.
        settings: How many.
    """
    near, far = span(rays, settings.behind_sphere_only)
    steps = torch.linspace(0.0, 1.0, settings.uniform, dtype=near.dtype, device=near.device)
    along = near[:, None] + (far - near)[:, None] * steps
    if jitter is not None:
        along = along + ((jitter.inner - 0.5) * (far - near) / settings.uniform)[:, None]
    count = settings.uniform + settings.rounds * settings.per_round
    hits = (far > near).nonzero().squeeze(-1)
    if len(hits) == len(near):
        return _refine(distance, rays, along, inv_s, settings)
    full = along[:, -1:].expand(-1, count).clone()
    if len(hits):
        part = Rays(origins=rays.origins[hits], directions=rays.directions[hits])
        full[hits] = _refine(distance, part, along[hits], inv_s, settings)
    return full


def outer_distances(rays: Rays, jitter: Jitter | None, settings: SamplingSettings) -> Tensor:
    """Return sample distances [R, background] beyond the unit sphere, evenly in 1 / distance."""
    count = settings.background
    _, far = span(rays, settings.behind_sphere_only)
    last = 1.0 - 1.0 / (count + 1.0)
    places = torch.linspace(1e-3, last, count, dtype=far.dtype, device=far.device)
    places = places.expand(len(far), -1)
    if jitter is not None:
        edges = 0.5 * (places[:, 1:] + places[:, :-1])
        upper = torch.cat([edges, places[:, -1:]], dim=-1)
        lower = torch.cat([places[:, :1], edges], dim=-1)
        places = lower + (upper - lower) * jitter.outer
    return far[:, None] / places.flip(-1) + 1.0 / count


def resample(edges: Tensor, weights: Tensor, count: int) -> Tensor:
    """Place `count` samples a ray by the inverse of the cumulated weights, in the middle of bins.

    Args:
        edges: [R, S] increasing.
        weights: [R, S - 1] of the sections between.
        count: Samples.

    Returns:
        [R, count]
    """
    share = weights + _PDF_FLOOR
    share = share / share.sum(-1, keepdim=True)
    cumulated = torch.cat([torch.zeros_like(share[:, :1]), share.cumsum(-1)], dim=-1)
    wanted = ((torch.arange(count).to(edges) + 0.5) / count).expand(len(edges), -1).contiguous()
    above = torch.searchsorted(cumulated, wanted, right=True).clamp(1, edges.shape[-1] - 1)
    below = above - 1
    low, high = cumulated.gather(-1, below), cumulated.gather(-1, above)
    start, end = edges.gather(-1, below), edges.gather(-1, above)
    return start + (wanted - low) / (high - low).clamp(min=_PDF_FLOOR) * (end - start)


def _refine(
    distance: Distance, rays: Rays, along: Tensor, inv_s: Tensor, settings: SamplingSettings
) -> Tensor:
    """Add samples where the surface seems to be, sharper in each round."""
    if not settings.rounds:
        return along
    sdf = _ask(distance, rays, along)
    for index in range(settings.rounds):
        sharpness = torch.as_tensor(64.0 * 2**index).to(inv_s)
        if settings.clip_sharpness:
            sharpness = torch.minimum(sharpness, inv_s)
        new = resample(along, coarse_weights(rays, along, sdf, sharpness), settings.per_round)
        along, order = torch.cat([along, new], dim=-1).sort(dim=-1)
        if index + 1 < settings.rounds:
            sdf = torch.cat([sdf, _ask(distance, rays, new)], dim=-1).gather(-1, order)
    return along


def coarse_weights(rays: Rays, along: Tensor, sdf: Tensor, inv_s: Tensor) -> Tensor:
    """Return the weights [R, S - 1] of sections as their ends alone tell them.

    Args:
        rays: The rays.
        along: [R, S] increasing distances.
        sdf: [R, S] there.
        inv_s: How sharp the surface is taken to be, scalar.
    """
    length = along[:, 1:] - along[:, :-1]
    slope = (sdf[:, 1:] - sdf[:, :-1]) / (length + _PDF_FLOOR)
    steeper = torch.cat([torch.zeros_like(slope[:, :1]), slope[:, :-1]], dim=-1)
    slope = torch.minimum(slope, steeper).clamp(-1e3, 0.0)
    inside = points_at(rays, along).square().sum(-1) < 1.0
    slope = slope * (inside[:, 1:] | inside[:, :-1])
    middle = 0.5 * (sdf[:, 1:] + sdf[:, :-1])
    return ray_weights(section_alpha(middle, slope, length, inv_s))


def points_at(rays: Rays, along: Tensor) -> Tensor:
    """Return the points [R, S, 3] at distances [R, S]."""
    return rays.origins[:, None] + along[..., None] * rays.directions[:, None]


def _ask(distance: Distance, rays: Rays, along: Tensor) -> Tensor:
    return distance(points_at(rays, along).flatten(0, 1)).view_as(along)
