"""The losses of a rendered batch as sums and counts (nero.md 4).

A term never depends on how a batch is shared out: means are taken by the platform, and the samples
whose occlusion is traced are drawn ray by ray, not from the whole batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nero.learning.settings import LossSettings
from gimbal_nero.volume.model import Rays, Rendered

Term = tuple[Tensor, Tensor]
_OUTSIDE = (1.05, 1.2)
_INSIDE = 0.1
_OCCLUSION_RADIUS = 0.999
_LOG_FLOOR = 1e-4


def colour_term(said: Tensor, target: Tensor, mask: Tensor, settings: LossSettings) -> Term:
    """Return the colour loss of R rays.

    Args:
        said: [R, 3]
        target: [R, 3]
        mask: [R] 1 on the object, 0 beside it, 2 unknown.
        settings: Which loss.
    """
    return _counted(_colour_losses(said, target, settings), mask, settings)


def dual_colour_term(
    said: tuple[Tensor, Tensor], share: Tensor, target: Tensor, mask: Tensor, settings: LossSettings
) -> Term:
    """Return the colour loss of R rays with two colours each.

    A rough surface mixes light from everywhere, so its reflections tell little of its shape; there
    a colour that is learnt plainly counts instead.

    Args:
        said: [R, 3] from material and light, and [R, 3] plainly.
        share: [R] how much of the loss is of the second; no gradient passes.
        target: [R, 3]
        mask: [R] as in `colour_term`.
        settings: Which loss.
    """
    reflected, plain = (_colour_losses(colour, target, settings) for colour in said)
    share = share.detach()
    return _counted(share * plain + (1.0 - share) * reflected, mask, settings)


def _colour_losses(said: Tensor, target: Tensor, settings: LossSettings) -> Tensor:
    """Return [R]."""
    off = said - target
    if settings.colour == "charbonnier":
        return (off.square().sum(-1) + settings.charbonnier_epsilon).sqrt()
    return (off.abs() if settings.colour == "l1" else off.square()).mean(-1)


def _counted(loss: Tensor, mask: Tensor, settings: LossSettings) -> Term:
    counts = mask != 0 if settings.masked_colour else torch.ones_like(mask, dtype=torch.bool)
    return (loss * counts).sum(), counts.sum()


def eikonal_term(gradients: Tensor) -> Term:
    """Return (|gradient| - 1)^2 of [N, 3] gradients."""
    length = torch.linalg.vector_norm(gradients, dim=-1)
    return (length - 1.0).square().sum(), _count(gradients)


def points_in_sphere(drawn: Tensor) -> Tensor:
    """Return points [N, 3] evenly in the unit sphere from uniform numbers [N, 3] in [0, 1)."""
    height = 2.0 * drawn[:, 0] - 1.0
    side = (1.0 - height.square()).clamp(min=0.0).sqrt()
    azimuth = 2.0 * math.pi * drawn[:, 1]
    towards = torch.stack([side * azimuth.cos(), side * azimuth.sin(), height], dim=-1)
    return drawn[:, 2:].pow(1.0 / 3.0) * towards


def mask_term(opacity: Tensor, mask: Tensor) -> Term:
    """Return the cross entropy of [R] opacities where the mask is known."""
    known = mask != 2
    inside = opacity.clamp(_LOG_FLOOR, 1.0 - _LOG_FLOOR)
    target = (mask == 1).to(opacity.dtype)
    loss = functional.binary_cross_entropy(inside, target, reduction="none")
    return (loss * known).sum(), known.sum()


def prior_inside_term(points: Tensor, sdf: Tensor) -> Term:
    """Ask that something be at the centre.

    Args:
        points: [N, 3] in the unit sphere.
        sdf: [N] of them.
    """
    radius = torch.linalg.vector_norm(points, dim=-1)
    counts = radius < _INSIDE
    loss = torch.relu(sdf - (radius - _INSIDE))
    return (loss * counts).sum(), counts.sum()


def prior_outside_term(points: Tensor, sdf: Tensor) -> Term:
    """Ask that nothing be beyond radius 1.05.

    Its mean is over the points that break the rule, as published, not over all of them.

    Args:
        points: [N, 3] of `outside_points`.
        sdf: [N] of them.
    """
    loss = torch.relu(torch.linalg.vector_norm(points, dim=-1) - _OUTSIDE[0] - sdf)
    return loss.sum(), (loss > 0).sum()


def outside_points(rays: Rays, rendered: Rendered) -> Tensor:
    """Return the samples [N, 3] between radii 1.05 and 1.2."""
    points = rays.origins[:, None] + rendered.distances[..., None] * rays.directions[:, None]
    radius = torch.linalg.vector_norm(points, dim=-1)
    return points[(radius > _OUTSIDE[0]) & (radius < _OUTSIDE[1])].detach()


def occlusion_places(
    rays: Rays, rendered: Rendered, drawn: Tensor, settings: LossSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose samples on the surface and where light is reflected from there.

    Args:
        rays: The R rays.
        rendered: What they see.
        drawn: [R, S] uniform numbers that belong to the samples; the smallest of a ray win.
        settings: How many, and what is on the surface.

    Returns:
        Indices [M] into the inner samples, points [M, 3] and reflected unit directions [M, 3], all
        without a gradient.
    """
    ray, _ = rendered.inside.nonzero(as_tuple=True)
    towards = rays.directions[ray]
    gradients, points = rendered.gradients.detach(), rendered.inner_points.detach()
    fits = (
        (torch.linalg.vector_norm(points, dim=-1) < _OCCLUSION_RADIUS)
        & (rendered.sdf.detach()[rendered.inside].abs() < settings.occlusion_band)
        & ((gradients * towards).sum(-1) < 0)
    )
    if rendered.shaded is not None:
        fits = fits & rendered.shaded
    grid = torch.full_like(drawn, torch.inf)
    grid[rendered.inside] = torch.where(fits, drawn[rendered.inside], torch.inf)
    rank = grid.argsort(dim=1).argsort(dim=1)
    taken = (grid < torch.inf) & (rank < settings.occlusion_points_per_ray)
    chosen = taken[rendered.inside].nonzero().squeeze(-1)
    normal = functional.normalize(gradients[chosen], dim=-1)
    seen = towards[chosen]
    reflected = seen - 2.0 * (normal * seen).sum(-1, keepdim=True) * normal
    return chosen, points[chosen], reflected


def occlusion_term(said: Tensor, traced: Tensor) -> Term:
    """Return the absolute difference of [M] said, not clamped, and [M] traced occlusion."""
    return (said - traced.detach()).abs().sum(), _count(said)


def nothing(like: Tensor) -> Term:
    """Return a term that counts nothing."""
    return like.new_zeros(()), like.new_zeros(())


def _count(values: Tensor) -> Tensor:
    return torch.tensor(len(values), device=values.device)
