"""Random numbers of a picture: keyed by pixel, so nothing depends on how pixels are split.

A pixel is `RAYS` rays in a grid of jittered places. They share the pixel's directions: the strata
of one ray's directions lie between those of the others, so sixteen rays of four directions choose
as one of sixty-four would, and an outline is blended as finely as sixteen rays show it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal.training.keyed import keyed_uniform
from gimbal_nero.reflectance.model import Draws
from gimbal_nero.reflectance.sampling import GOLDEN

GRID = 4
RAYS = GRID * GRID
_WAYS = 3
_STEPS = (1, 5, 11)
"""Odd, so that each way of choosing meets all strata, each in another order."""
_BELOW_ONE = 1.0 - 2.0**-23
_PLASTIC = 1.1127756842787055
"""Root of x**7 = x + 1: its powers spread points evenly in six dimensions (Roberts 2018)."""


def directions_a_ray(directions: int) -> int:
    """Return directions of each way and ray, where a pixel asks for so many of each way."""
    return max(1, math.ceil(directions / RAYS))


def ray_places(seed: int, pixels: Tensor) -> Tensor:
    """Return where rays cross pixels, [P, RAYS, 2] (right, down) in [0, 1).

    Args:
        seed: Of the picture.
        pixels: int64 [P].
    """
    jitter = keyed_uniform(seed, 0, pixels, (RAYS, 2), stream="ray", dtype=torch.float64)
    number = torch.arange(RAYS, device=pixels.device)
    corner = torch.stack([number % GRID, number // GRID], dim=-1)
    return (corner + jitter) / GRID


def ray_numbers(seed: int, pixels: Tensor, directions: int) -> Tensor:
    """Return six uniform numbers of every ray, [P, RAYS, 6] float32; see `draws_of`.

    Args:
        seed: Of the picture.
        pixels: int64 [P].
        directions: Of each way and ray.
    """
    numbers = keyed_uniform(seed, 0, pixels, (3, _WAYS), stream="directions")
    ray = torch.arange(RAYS, device=pixels.device)[:, None]
    steps = torch.tensor(_STEPS, device=pixels.device)
    first = (numbers[:, 0] * RAYS).long()[:, None]
    strata = (ray * steps + first) % RAYS
    heights = (strata + numbers[:, 1, None]) / RAYS
    turns = numbers[:, 2, None] + strata * (directions * GOLDEN % 1.0)
    return torch.stack([heights, turns % 1.0], dim=-1).flatten(2).clamp(max=_BELOW_ONE)


def bounce_numbers(numbers: Tensor, rows: Tensor, depth: int) -> Tensor:
    """Return numbers [K, 6] of points that rays of other points hit.

    Args:
        numbers: [N, 6] of those points.
        rows: int64 [K], ascending: whose ray each is of.
        depth: Of the hit points, 1 for the first; each has another sequence.
    """
    counts = torch.bincount(rows, minlength=len(numbers))
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    powers = torch.arange(1, 2 * _WAYS + 1, dtype=torch.float64, device=rows.device)
    steps = (_PLASTIC**-powers).roll(depth)
    moved = numbers[rows].double() + (place[:, None] + 1) * steps
    return (moved % 1.0).to(numbers).clamp(max=_BELOW_ONE)


def draws_of(numbers: Tensor) -> Draws:
    """Return numbers [N, 6] as draws of the three ways of choosing."""
    return Draws(diffuse=numbers[:, 0:2], specular=numbers[:, 2:4], environment=numbers[:, 4:6])
