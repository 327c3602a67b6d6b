"""The robust distance and the log map of geometric losses, and how to read their values.

The distance is Barron's general one with shape 1/2 and scale .05 ("A General and Adaptive Robust
Loss Function", CVPR 2019): rho(e) = 3 ((e²/.00375 + 1)^¼ - 1). It takes the *squared* error, which
has a gradient at 0 where the error itself has none. A logged value is not in metres: `metres_of`
turns it back (multicar.md A7).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gimbal_vision.errors import LossError

ALPHA = 0.5
SCALE = 0.05
_SOFTNESS = SCALE**2 * (2.0 - ALPHA)
_GAIN = (2.0 - ALPHA) / ALPHA
_TINY = 1e-30


def robust(squared_error: Tensor) -> Tensor:
    """Return rho(e) of squared errors e², element by element."""
    return _GAIN * (torch.sqrt(torch.sqrt(squared_error * (1.0 / _SOFTNESS) + 1.0)) - 1.0)


def rho(error: float) -> float:
    """Return the robust distance of one error."""
    return _GAIN * (math.pow(error**2 / _SOFTNESS + 1.0, ALPHA / 2.0) - 1.0)


def rho_inverse(value: float) -> float:
    """Return the error e >= 0 whose rho(e) is `value`, exactly.

    Raises:
        LossError: `value` is negative or not finite: no error has it.
    """
    if not (math.isfinite(value) and value >= 0):
        raise LossError(f"{value} is no value of the robust distance", "give a finite value >= 0")
    return math.sqrt(_SOFTNESS * (math.pow(value / _GAIN + 1.0, 2.0 / ALPHA) - 1.0))


def metres_of(value: float, weight: float, g: float) -> float:
    """Return the error in metres behind a logged pose loss, were all its poses wrong alike.

    Args:
        value: The logged term, its weight included.
        weight: That weight; 1 for the terms of `MultiViewLoss`, which are logged without it.
        g: The truth's normaliser in metres: mean distance of the known points from view 0.

    Raises:
        LossError: `weight` or `g` is not positive, or `value` is negative.
    """
    if not (weight > 0 and g > 0):
        raise LossError(f"weight {weight}, normaliser {g} m", "give positive numbers")
    return rho_inverse(value / weight) * g


def length(planes: Tensor) -> Tensor:
    """Return the lengths [...] of vectors [3, ...]; the gradient at 0 is 0, not NaN."""
    return torch.sqrt(planes.square().sum(0).clamp_min(_TINY))


def log_map(planes: Tensor, norm: Tensor, shrink: Tensor | None = None) -> Tensor:
    """Return f(x/s) = x/|x| log(1 + |x|/s) of vectors [3, ...]; at 0 both 0 and its gradient 1/s.

    Args:
        planes: [3, ...], coordinates first.
        norm: [...] their `length`, which the caller mostly has already.
        shrink: 1/s, broadcast over [...]; none: 1.
    """
    scaled = norm if shrink is None else norm * shrink
    return planes * (torch.log1p(scaled) / norm)
