"""Smooth functions of a direction: real spherical harmonics of degrees 1 to 3, constants dropped.

Polynomials of x, y, z have no seam and no pole, unlike functions of azimuth and elevation. Each
degree is scaled so that its squares add up to 1 in every direction.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

HARMONICS = 15
"""Numbers of an embedded direction: 3 + 5 + 7."""


def harmonics(directions: Tensor) -> Tensor:
    """Return harmonics [...,15] of unit vectors [...,3], degree by degree."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    second = [
        sqrt(3) * x * y,
        sqrt(3) * y * z,
        (3 * zz - 1) / 2,
        sqrt(3) * x * z,
        sqrt(3) / 2 * (xx - yy),
    ]
    third = [
        sqrt(5 / 8) * y * (3 * xx - yy),
        sqrt(15) * x * y * z,
        sqrt(3 / 8) * y * (5 * zz - 1),
        z * (5 * zz - 3) / 2,
        sqrt(3 / 8) * x * (5 * zz - 1),
        sqrt(15) / 2 * z * (xx - yy),
        sqrt(5 / 8) * x * (xx - 3 * yy),
    ]
    return torch.stack([x, y, z, *second, *third], dim=-1)
