"""The published sum of light, with its three defects, for comparison alone.

Heights of its point set are not uniform; its highlight turns a half-vector's angle about the
mirrored view; and highlights are added up over all directions, each weighed by the density of its
own way alone, which counts them about twice. Gradients flow through directions and densities.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal_nero.reflectance.asking import light_from
from gimbal_nero.reflectance.brdf import (
    diffuse_albedo,
    facing_reflectance,
    fresnel,
    visibility,
)
from gimbal_nero.reflectance.frames import (
    frames_of,
    half_vectors,
    local_view,
    to_world,
)
from gimbal_nero.reflectance.model import Draws, Light, ShadedPoints, Surface
from gimbal_nero.reflectance.sampling import GOLDEN, on_ring
from gimbal_nero.reflectance.settings import EstimatorSettings

FLOOR = 1e-4
"""Of the distribution's denominator: it leaves a mirror's highlight to its own samples."""
SMALL = 1e-5


def shade_as_published(
    surface: Surface, light: Light, settings: EstimatorSettings, draws: Draws
) -> ShadedPoints:
    """Return radiance and the mean light of the diffuse directions.

    Args:
        surface: N points.
        light: Asked once, and only from above.
        settings: Numbers of directions, and the shadowing.
        draws: The turns are used; heights of the published point set do not move.
    """
    frames, alpha = frames_of(surface.normals), surface.alpha[:, None]
    view = local_view(frames, surface.towards)
    even = even_directions(settings.diffuse_samples, draws.diffuse)
    shiny = shiny_directions(settings.specular_samples, draws.specular, view, alpha)
    lights = torch.cat([even, shiny], dim=1)
    above = lights[..., 2] > 0.0
    incoming = light_from(light, surface.points, to_world(frames, lights), above)
    diffuse_light = incoming[:, : settings.diffuse_samples].mean(1)
    facing = facing_reflectance(surface.albedo, surface.metallic)[:, None]
    ratio = highlight_over_density(view, lights, facing, alpha, settings)
    diffuse = diffuse_albedo(surface.albedo, surface.metallic) * diffuse_light
    return ShadedPoints(radiance=diffuse + (ratio * incoming).mean(1), diffuse_light=diffuse_light)


def published_places(count: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return heights 1 - 2/pi asin(k / count) [count] and turns [N, count]."""
    steps = torch.arange(count, dtype=torch.float64, device=draws.device)
    heights = 1.0 - (2.0 / math.pi) * (steps / count).asin()
    turns = (steps * GOLDEN % 1.0).to(draws.dtype) + draws[:, 1:]
    return heights.to(draws.dtype), turns % 1.0


def even_directions(count: int, draws: Tensor) -> Tensor:
    """Return directions [N, count, 3] of squared sine equal to the heights, about the normal."""
    heights, turns = published_places(count, draws)
    heights = heights.expand_as(turns)
    return on_ring(heights.sqrt(), (1.0 - heights).clamp(min=0.0).sqrt(), turns)


def shiny_directions(count: int, draws: Tensor, view: Tensor, alpha: Tensor) -> Tensor:
    """Return directions [N, count, 3] about the mirrored view, at a half-vector's angles."""
    heights, turns = published_places(count, draws)
    alpha2 = alpha[..., 0].square()
    cosine2 = (1.0 - heights) / (1.0 + (alpha2 - 1.0) * heights)
    cosine = cosine2.clamp(min=1e-12).sqrt()
    sine = (1.0 - cosine2).clamp(min=1e-12).sqrt()
    mirrored = torch.cat([-view[..., :2], view[..., 2:]], dim=-1)
    return to_world(frames_of(mirrored[:, 0]), on_ring(sine, cosine, turns))


def highlight_over_density(
    view: Tensor, lights: Tensor, facing: Tensor, alpha: Tensor, settings: EstimatorSettings
) -> Tensor:
    """Return F D G / (4 NoV p + 1e-5) [N, K, 3], p of the way each direction came from."""
    halves = half_vectors(view, lights)
    cosine, view_cosine = lights[..., 2:].clamp(min=0.0), view[..., 2:]
    along = (view * halves).sum(-1, keepdim=True).clamp(0.0, 1.0)
    half_cosine = halves[..., 2:].clamp(0.0, 1.0)
    normals = floored_distribution(half_cosine, alpha)
    even, total = settings.diffuse_samples, lights.shape[1]
    by_cosine = cosine[:, :even] / math.pi * (even / total)
    by_lobe = (normals * half_cosine / (4.0 * along + SMALL))[:, even:] * (1.0 - even / total)
    density = torch.cat([by_cosine, by_lobe], dim=1)
    if settings.geometry == "smith":
        shadowing = 4.0 * view_cosine * cosine * visibility(view_cosine, cosine, alpha)
    else:
        shadowing = schlick_side(view_cosine, alpha) * schlick_side(cosine, alpha)
    reflected = fresnel(facing, along) * normals * shadowing
    return reflected / (4.0 * view_cosine * density + SMALL)


def floored_distribution(half_cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return alpha^2 / (pi (NoH^2 (alpha^2 - 1) + 1)^2 + 1e-4)."""
    alpha2 = alpha.square()
    spread = half_cosine.square() * (alpha2 - 1.0) + 1.0
    return alpha2 / (math.pi * spread.square() + FLOOR)


def schlick_side(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return Schlick's one-sided shadowing with k = alpha / 2."""
    k = 0.5 * alpha
    return cosine / (cosine * (1.0 - k) + k)
