"""Loss of differences of log ranges at four scales; synthetic samples only: it needs dense depth.

Upstream takes log z, which does not exist over half of a panorama, where z is negative; the range
is positive everywhere. Two pixels of a pair lie s = 1, 2, 4 or 8 apart, on a grid of every s-th
pixel, so a pair stands for s² pairs of neighbours. Scales and both directions add up, as is usual
of this loss.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gimbal_vision.multiview.losses.target import Target

STEPS = (1, 2, 4, 8)
_SHORTEST = 1e-12


def gradients(ranges: Tensor, target: Target, *, wraps: bool) -> Tensor:
    """Return the summed |difference of log(range / true range)| of all pairs of known pixels.

    Args:
        ranges: [B, N, H, W] predicted, along rays.
        target: The true ones, and what counts.
        wraps: Whether the last column's neighbour is the first, as in a panorama.
    """
    true = torch.where(target.valid, target.scene.ranges, 1.0)
    found = torch.where(target.valid, ranges, 1.0).clamp_min(_SHORTEST)
    off = torch.log(found) - torch.log(true)
    total = ranges.new_zeros(())
    pairs = zip(_pairs(off, wraps), _pair_weights(target, wraps), strict=True)
    for (first, second), weight in pairs:
        total = total + ((first - second).abs() * weight).sum()
    return total


def gradient_count(target: Target, *, wraps: bool) -> Tensor:
    """Return the mean weight over scales and directions of the pairs that `gradients` sums."""
    total = target.known.new_zeros(())
    for weight in _pair_weights(target, wraps):
        total = total + weight.sum()
    return total / (2 * len(STEPS))


def _pairs(values: Tensor, wraps: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the two pixels of every pair of [..., H, W]: for each step, along rows, then columns."""
    width = values.shape[-1]
    for step in STEPS:
        grid = values[..., ::step, ::step]
        if wraps:
            beyond = grid.shape[-1] * step % width
            seam = values[..., ::step, beyond : beyond + 1]
            yield grid, torch.cat([grid[..., 1:], seam], -1)
        else:
            yield grid[..., :-1], grid[..., 1:]
        yield grid[..., :-1, :], grid[..., 1:, :]


def _pair_weights(target: Target, wraps: bool) -> Iterator[Tensor]:
    """Give the weights of those pairs: their pixels' mean, times s², where both are known."""
    weight = target.weight * target.synthetic[:, None, None, None]
    pairs = zip(_pairs(weight, wraps), _pairs(target.known, wraps), strict=True)
    for place, ((w_first, w_second), (first, second)) in enumerate(pairs):
        yield (w_first + w_second) * (first * second) * (0.5 * STEPS[place // 2] ** 2)
