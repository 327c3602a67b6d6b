"""Integrated directional encoding: spherical harmonics that fade with roughness (Ref-NeRF, eq. 8).

The polynomials in z are kept as Chebyshev series: as powers of z their coefficients reach 1e5 at
degree 16, which costs five of single precision's seven digits.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEGREES = (1, 2, 4, 8, 16)
_PAIRS = tuple((degree, order) for degree in DEGREES for order in range(degree + 1))
_TOP = DEGREES[-1]
SIZE = 2 * len(_PAIRS)

Doubles = np.ndarray[Any, np.dtype[np.float64]]


def directional(directions: Tensor, inverse_concentration: Tensor) -> Tensor:
    """Return spherical harmonics averaged over a lobe around each direction.

    A von Mises-Fisher lobe of concentration kappa fades degree l by about exp(-l (l + 1) / 2kappa).

    Args:
        directions: [N, 3] of length 1.
        inverse_concentration: [N, 1] or [1, 1], 1 / kappa.

    Returns:
        [N, 72]: all real parts, then all imaginary ones.
    """
    x, y, z = directions.unbind(-1)
    table, degree, order = _constants(directions.dtype, directions.device)
    legendre = _chebyshev(z) @ table
    real, imaginary = _powers(x, y)
    faded = legendre * torch.exp(-0.5 * degree * (degree + 1.0) * inverse_concentration)
    return torch.cat([faded * real[:, order], faded * imaginary[:, order]], dim=-1)


def _chebyshev(z: Tensor) -> Tensor:
    """Return [N, 17] Chebyshev polynomials of the first kind.

    T_(n+k) = 2 T_n T_k - T_(n-k) doubles their number at once.
    """
    values = torch.stack([torch.ones_like(z), z], dim=-1)
    while values.shape[-1] <= _TOP:
        more = 2.0 * values[:, -1:] * values[:, 1:] - values[:, :-1].flip(-1)
        values = torch.cat([values, more], dim=-1)
    return values


def _powers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return real and imaginary parts [N, 17] of (x + iy)^m, their number doubled at once."""
    real = torch.stack([torch.ones_like(x), x], dim=-1)
    imaginary = torch.stack([torch.zeros_like(y), y], dim=-1)
    while real.shape[-1] <= _TOP:
        a, b, c, d = real[:, -1:], imaginary[:, -1:], real[:, 1:], imaginary[:, 1:]
        real, imaginary = (
            torch.cat([real, a * c - b * d], dim=-1),
            torch.cat([imaginary, a * d + b * c], dim=-1),
        )
    return real, imaginary


@functools.cache
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the series [17, 36], the degrees [36] and the orders [36]."""
    degrees, orders = np.array(_PAIRS).T
    return (
        torch.as_tensor(_series(), dtype=dtype, device=device),
        torch.as_tensor(degrees, dtype=dtype, device=device),
        torch.as_tensor(orders, device=device),
    )


def _series() -> Doubles:
    """Return Chebyshev coefficients [17, 36] of Y_l^m without its factor (x + iy)^m.

    Orthonormal, with the Condon-Shortley sign: the m-th derivative of the Legendre polynomial.
    """
    legendre = np.polynomial.legendre
    table = np.zeros((_TOP + 1, len(_PAIRS)))
    for column, (degree, order) in enumerate(_PAIRS):
        derivative = legendre.legder(np.eye(degree + 1)[degree], order)
        series = np.polynomial.chebyshev.poly2cheb(legendre.leg2poly(derivative))
        ratio = math.factorial(degree - order) / math.factorial(degree + order)
        norm = (-1) ** order * math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio)
        table[: len(series), column] = norm * series
    return table
