"""Points of a surface that light is to be reflected by, and what is said of them.

Random numbers come from outside as `Draws`, so the same draws give the same radiance again and a
picture is drawn with none of training's noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_ALPHA = 0.0016
"""Below it a lobe is narrower than single precision tells directions apart."""

Light = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Points [M, 3], unit directions away from them [M, 3], and int64 [M], of which of the N surface
points they are, to linear radiance [M, 3]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """N points of a metallic-roughness surface."""

    points: Tensor
    """[N, 3] where light is asked for, lifted off a mesh where light is traced."""
    normals: Tensor
    """[N, 3] of length 1, outwards."""
    towards: Tensor
    """[N, 3] of length 1, from the point to the camera."""
    albedo: Tensor
    """[N, 3] linear, 0 to 1."""
    metallic: Tensor
    """[N, 1], 0 to 1."""
    alpha: Tensor
    """[N, 1] GGX alpha, the square of perceptual roughness, at least `SMALLEST_ALPHA`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """Uniform numbers of one estimate: each point shifts its point sets by its own."""

    diffuse: Tensor
    """[N, 2] in [0, 1): a shift of the height and a turn about the normal."""
    specular: Tensor
    """[N, 2] likewise."""
    environment: Tensor
    """[N, 2] likewise, of a picture's rows and columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadedPoints:
    """What N points send to the camera."""

    radiance: Tensor
    """[N, 3] linear."""
    diffuse_light: Tensor
    """[N, 3] irradiance / pi: the cosine-weighted mean of the light above the surface."""


def random_draws(
    count: int, generator: torch.Generator | None = None, like: Tensor | None = None
) -> Draws:
    """Return fresh draws of `count` points.

    Args:
        count: N.
        generator: Of the device of `like`; without it, the global one.
        like: Gives dtype and device; without it, torch's defaults.
    """
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    numbers = torch.rand(3, count, 2, generator=generator, dtype=dtype, device=device)
    return Draws(diffuse=numbers[0], specular=numbers[1], environment=numbers[2])


def fixed_draws(count: int, like: Tensor | None = None) -> Draws:
    """Return the draws of pictures: strata are met in the middle and nothing is turned.

    Args:
        count: N.
        like: Gives dtype and device; without it, torch's defaults.
    """
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    numbers = torch.tensor([0.5, 0.0], dtype=dtype, device=device).expand(count, 2)
    return Draws(diffuse=numbers, specular=numbers, environment=numbers)
