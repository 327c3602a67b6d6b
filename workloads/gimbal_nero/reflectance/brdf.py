"""The reflectance of a metallic-roughness surface: Lambert plus a GGX highlight.

Directions are unit vectors [N, K, 3] of frames whose z is the normal (`frames`). The distribution
of normals has no floor in its denominator, as the published code has one (1e-4): it stays finite
from alpha .0016 up, and a floor takes energy from every mirror.
"""

from __future__ import annotations

import math

from torch import Tensor

from gimbal_nero.reflectance.frames import half_vectors

DIELECTRIC = 0.04
"""Reflectance of everything that is no metal, seen along the normal."""


def normal_distribution(halves: Tensor, alpha: Tensor) -> Tensor:
    """Return GGX D [N, K, 1] (Walter et al. 2007).

    Args:
        halves: [N, K, 3]
        alpha: [N, 1, 1]
    """
    alpha2 = alpha.square()
    sine2 = halves[..., :2].square().sum(-1, keepdim=True)
    spread = alpha2 * halves[..., 2:].square() + sine2
    return alpha2 / (math.pi * spread.square())


def visibility(view_cosine: Tensor, light_cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return G / (4 NoL NoV) of height-correlated Smith shadowing (Heitz 2014).

    Args:
        view_cosine: [N, 1, 1] above 0.
        light_cosine: [N, K, 1] at least 0.
        alpha: [N, 1, 1]
    """
    view_side = light_cosine * slant(view_cosine, alpha)
    light_side = view_cosine * slant(light_cosine, alpha)
    return 0.5 / (view_side + light_side)


def slant(cosine: Tensor, alpha: Tensor) -> Tensor:
    """Return cosine (1 + 2 Lambda) of Smith's Lambda for GGX, without its division by cosine."""
    alpha2 = alpha.square()
    return (alpha2 + (1.0 - alpha2) * cosine.square()).sqrt()


def fresnel(facing: Tensor, along: Tensor) -> Tensor:
    """Return Schlick's reflectance [N, K, 3].

    Args:
        facing: [N, 1, 3] reflectance along the normal.
        along: [N, K, 1] cosine between view and half-vector.
    """
    grazing = (1.0 - along.clamp(0.0, 1.0)).pow(5)
    return facing + (1.0 - facing) * grazing


def facing_reflectance(albedo: Tensor, metallic: Tensor) -> Tensor:
    """Return F0: .04 of dielectrics, the albedo of metals."""
    return DIELECTRIC * (1.0 - metallic) + metallic * albedo


def diffuse_albedo(albedo: Tensor, metallic: Tensor) -> Tensor:
    """Return what Lambert's part reflects: nothing of metals."""
    return (1.0 - metallic) * albedo


def highlight_times_cosine(view: Tensor, lights: Tensor, facing: Tensor, alpha: Tensor) -> Tensor:
    """Return D V F NoL [N, K, 3], 0 for light from below.

    Args:
        view: [N, 1, 3] above the surface.
        lights: [N, K, 3]
        facing: [N, 1, 3] reflectance along the normal.
        alpha: [N, 1, 1], at least `model.SMALLEST_ALPHA`.
    """
    halves = half_vectors(view, lights)
    cosine = lights[..., 2:].clamp(min=0.0)
    along = (view * halves).sum(-1, keepdim=True)
    sent = normal_distribution(halves, alpha) * visibility(view[..., 2:], cosine, alpha) * cosine
    return sent * fresnel(facing, along)


def reflectance_times_cosine(
    view: Tensor, lights: Tensor, albedo: Tensor, metallic: Tensor, alpha: Tensor
) -> Tensor:
    """Return f NoL [N, K, 3] of the whole surface, 0 for light from below.

    Args:
        view: [N, 1, 3] above the surface.
        lights: [N, K, 3]
        albedo: [N, 1, 3] linear.
        metallic: [N, 1, 1]
        alpha: [N, 1, 1], at least `model.SMALLEST_ALPHA`.
    """
    facing = facing_reflectance(albedo, metallic)
    even = diffuse_albedo(albedo, metallic) * lights[..., 2:].clamp(min=0.0) / math.pi
    return even + highlight_times_cosine(view, lights, facing, alpha)
