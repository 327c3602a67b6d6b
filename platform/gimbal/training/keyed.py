"""Randomness that belongs to a sample, not to a worker.

Every number is a hash of (seed, step, stream, sample id, position): SplitMix64 started at a hash of
the first four, advanced by the fifth. So a sample draws the same numbers in whatever batch, on
whatever worker and device it lands. All arithmetic is on int64, whose products wrap alike on CPU
and GPU.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB

Ids = Tensor | np.ndarray | Sequence[int]


def _signed(value: int) -> int:
    """Read the low 64 bits of an integer as two's complement."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def mix(value: int) -> int:
    """Return SplitMix64's output function of one 64-bit integer."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def key(seed: int, *parts: int | str) -> int:
    """Return a 64-bit key of a seed and any number of integers or words."""
    state = mix(seed + _GOLDEN)
    for part in parts:
        if isinstance(part, str):
            part = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "big")
        state = mix(state ^ mix(part + _GOLDEN))
    return state


def _shifted(value: Tensor, bits: int) -> Tensor:
    """Shift right without the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(value: Tensor) -> Tensor:
    """Apply `mix` to every element (int64)."""
    value = (value ^ _shifted(value, 30)) * _signed(_MIX_1)
    value = (value ^ _shifted(value, 27)) * _signed(_MIX_2)
    return value ^ _shifted(value, 31)


def keyed_bits(
    seed: int, step: int, sample_ids: Ids, shape: Sequence[int] = (), *, stream: str = ""
) -> Tensor:
    """Return 64 random bits as int64 [B, *shape].

    Args:
        seed: The experiment's seed.
        step: The optimizer step, or any other integer that should change the numbers.
        sample_ids: int64 [B]; decides the device of the result.
        shape: Numbers per sample.
        stream: A word for each independent use within a step.
    """
    ids = torch.as_tensor(sample_ids, dtype=torch.int64)
    start = _mixed(ids * _signed(_GOLDEN) ^ _signed(key(seed, step, stream)))
    places = torch.arange(1, math.prod(shape) + 1, device=ids.device)
    bits = _mixed(start[:, None] + places * _signed(_GOLDEN))
    return bits.reshape(len(ids), *shape)


def keyed_uniform(
    seed: int,
    step: int,
    sample_ids: Ids,
    shape: Sequence[int] = (),
    *,
    stream: str = "",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return uniform numbers in [0, 1), [B, *shape]; see `keyed_bits`."""
    digits = 53 if dtype == torch.float64 else 24
    bits = _shifted(keyed_bits(seed, step, sample_ids, shape, stream=stream), 64 - digits)
    return bits.to(torch.float64 if digits == 53 else torch.float32).mul_(2.0**-digits).to(dtype)


def keyed_normal(
    seed: int,
    step: int,
    sample_ids: Ids,
    shape: Sequence[int] = (),
    *,
    stream: str = "",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal numbers [B, *shape] by Box and Muller; see `keyed_bits`."""
    pairs = keyed_uniform(
        seed, step, sample_ids, (2, *shape), stream=stream, dtype=torch.float64
    ).unbind(1)
    radius = (-2.0 * torch.log1p(-pairs[0])).sqrt()
    return (radius * torch.cos(2.0 * math.pi * pairs[1])).to(dtype)


def keyed_dropout(
    values: Tensor,
    probability: float,
    *,
    seed: int,
    step: int,
    sample_ids: Ids,
    stream: str = "dropout",
) -> Tensor:
    """Drop entries of `values` [B, ...] by sample instead of by worker.

    Args:
        values: First axis is the sample.
        probability: Share that is dropped, in [0, 1); the rest is scaled up.
        seed: The experiment's seed.
        step: The optimizer step.
        sample_ids: int64 [B].
        stream: A word for each layer that drops.
    """
    drawn = keyed_uniform(seed, step, sample_ids, values.shape[1:], stream=stream)
    return values * (drawn >= probability).to(values.dtype) / (1.0 - probability)


def seed_torch(device: torch.device, seed: int, *parts: int | str) -> None:
    """Seed torch's own generators of the CPU and of `device`.

    Not `torch.manual_seed`: where CUDA was never used, that keeps a stack trace of every call.
    """
    number = _signed(key(seed, *parts))
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)


def depends_on_share(module: nn.Module) -> list[str]:
    """Return the submodules that draw by a sample's place in its worker's share."""
    kinds = (nn.modules.dropout._DropoutNd, nn.RReLU)
    return [
        name or type(child).__name__
        for name, child in module.named_modules()
        if isinstance(child, kinds) and getattr(child, "p", 1.0) > 0 and child.training
    ]
