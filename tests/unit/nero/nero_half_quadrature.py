"""Reflected light by its definition: Gauss points over half-vectors, in double precision.

It shares no line with the estimators: Smith's Lambda is divided out, D is taken up by the points.
"""

from __future__ import annotations

import numpy as np


def reflected(albedo, metallic, alpha, view_cosine, light, count=300):
    """Radiance [3] of one point with normal +z and its view in the x-z plane, plus irradiance / pi.

    `light` takes unit directions [..., 3] to radiance [...], or [..., 3].
    """
    albedo = np.asarray(albedo, np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    view = np.array([np.sqrt(1.0 - view_cosine**2), 0.0, view_cosine])
    azimuth = 2.0 * np.pi * nodes
    irradiance = over_disk(light, nodes, weights, azimuth)
    share = (nodes**2 * (3.0 - 2.0 * nodes))[:, None]
    weight = (weights * 6.0 * nodes * (1.0 - nodes))[:, None] * weights
    up2 = (1.0 - share) / (1.0 + (alpha**2 - 1.0) * share)
    half = ring(np.sqrt(1.0 - up2), np.sqrt(up2), azimuth)
    along = half @ view
    lights = 2.0 * along[..., None] * half - view
    sent = (lights[..., 2] > 0) & (along > 0)
    cosine = np.where(sent, lights[..., 2], 1.0)
    shadowing = 1.0 / (1.0 + smith(cosine, alpha) + smith(view_cosine, alpha))
    visible = np.where(sent, shadowing * along / (half[..., 2] * view_cosine), 0.0) * weight
    facing = 0.04 * (1.0 - metallic) + metallic * albedo
    grazing = (1.0 - np.clip(along, 0.0, 1.0))[..., None] ** 5
    colours = colour(light(lights)) * (facing + (1.0 - facing) * grazing)
    highlight = (visible[..., None] * colours).sum(axis=(0, 1))
    return highlight + (1.0 - metallic) * albedo * irradiance, irradiance


def over_disk(light, nodes, weights, azimuth):
    """Irradiance / pi: the mean of the light over the unit disk."""
    share = nodes[:, None]
    lights = ring(np.sqrt(share), np.sqrt(1.0 - share), azimuth)
    return (colour(light(lights)) * (weights[:, None] * weights)[..., None]).sum(axis=(0, 1))


def ring(sine, cosine, azimuth):
    """Directions [P, A, 3]."""
    flat = np.ones_like(azimuth)
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine * flat], axis=-1)


def colour(radiance):
    return radiance if radiance.ndim == 3 else radiance[..., None]


def smith(cosine, alpha):
    """Lambda of GGX."""
    tangent2 = np.maximum(1.0 - cosine**2, 0.0) / cosine**2
    return 0.5 * (np.sqrt(1.0 + alpha**2 * tangent2) - 1.0)
