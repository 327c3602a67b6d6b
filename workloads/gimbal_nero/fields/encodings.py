"""Encodings of points and directions that networks can learn fine detail from (nero.md 2)."""

from __future__ import annotations

import torch
from torch import Tensor


def positional(values: Tensor, frequencies: int) -> Tensor:
    """Return values beside their sines and cosines, without a factor pi (NeRF, equation 4).

    Args:
        values: [..., D]
        frequencies: k; the highest is 2^(k-1).

    Returns:
        [..., D (2k + 1)]: values, sin(x), cos(x), sin(2x), cos(2x), ...
    """
    if not frequencies:
        return values
    angles = values[..., None, :] * _octaves(values, frequencies)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-2)
    return torch.cat([values, waves.flatten(start_dim=-3)], dim=-1)


def positional_pullback(values: Tensor, encoded_gradient: Tensor, frequencies: int) -> Tensor:
    """Bring a gradient with respect to `positional(values)` back to the values.

    Args:
        values: [..., D]
        encoded_gradient: [..., D (2k + 1)]
        frequencies: k.

    Returns:
        [..., D]
    """
    size = values.shape[-1]
    direct = encoded_gradient[..., :size]
    if not frequencies:
        return direct
    octaves = _octaves(values, frequencies)
    angles = values[..., None, :] * octaves
    waves = encoded_gradient[..., size:].reshape(*values.shape[:-1], frequencies, 2, size)
    slopes = angles.cos() * waves[..., 0, :] - angles.sin() * waves[..., 1, :]
    pulled: Tensor = direct + (octaves * slopes).sum(-2)
    return pulled


def integrated_positional(mean: Tensor, variance: Tensor, degrees: int) -> Tensor:
    """Return the mean sines and cosines of a Gaussian (mip-NeRF, equation 14, isotropic).

    Args:
        mean: [..., D]
        variance: [..., 1] of every coordinate.
        degrees: k.

    Returns:
        [..., 2 k D]
    """
    octaves = _octaves(mean, degrees)
    angles = mean[..., None, :] * octaves
    damp = torch.exp(-0.5 * variance[..., None, :] * octaves.square())
    return torch.stack([damp * angles.sin(), damp * angles.cos()], dim=-2).flatten(start_dim=-3)


def _octaves(like: Tensor, count: int) -> Tensor:
    """Return [count, 1] powers of two."""
    exponents = torch.arange(count, device=like.device, dtype=like.dtype)
    return torch.exp2(exponents)[:, None]
