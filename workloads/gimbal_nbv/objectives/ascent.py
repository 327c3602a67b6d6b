"""Climbing the oracle's map: the utility a policy can expect, and its exact gradient.

The map of gains over the candidates is known in training. A direction is worth a smooth mean of the
candidates near it, and a distribution over candidates is worth its expectation; both have a dense
gradient without sampling. Drawing one candidate instead (`gumbel_ascent`) adds noise and is only
needed where a gradient must go through the chosen view into something that has no map.
"""

from __future__ import annotations

from math import exp, log

import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nbv.scorer import expected_regret, normalised_gains

Pair = tuple[Tensor, Tensor]
"""A sum over states and the number of states."""


def smooth_utility(
    direction: Tensor, candidates: Tensor, utility: Tensor, used: Tensor, sharpness: float
) -> Tensor:
    """Return U(d) = sum_i softmax_i(sharpness d.c_i) u_i over the open candidates [B].

    Args:
        direction: Unit vectors [B,3].
        candidates: Unit vectors [B,M,3].
        utility: [B,M]; what used candidates hold is not read.
        used: bool [B,M].
        sharpness: Inverse squared width of the kernel in radians; see `sharpness_of`.
    """
    cosine = (candidates @ direction.unsqueeze(-1))[..., 0]
    weights = torch.softmax((sharpness * cosine).masked_fill(used, -torch.inf), dim=1)
    return (weights * utility.masked_fill(used, 0.0)).sum(1)


def sharpness_of(candidates: int, at_64: float = 25.0) -> float:
    """Return a kernel as narrow relative to the spacing as `at_64` is among 64 candidates.

    The spacing of M points on the sphere goes with M to the power of -1/2 and the kernel's width
    with the sharpness to the same power, so the sharpness grows with M.
    """
    return at_64 * candidates / 64


def direction_ascent(
    direction: Tensor, candidates: Tensor, gains: Tensor, used: Tensor, sharpness: float
) -> Pair:
    """Return 1 - U(direction) for normalised gains; see `smooth_utility`."""
    utility = normalised_gains(gains, used)
    missed = 1 - smooth_utility(direction, candidates, utility, used, sharpness)
    return missed.sum(), _count(gains)


def score_ascent(scores: Tensor, gains: Tensor, used: Tensor) -> Pair:
    """Return 1 - sum_i p_i u_i, p = softmax(scores): exact, without noise."""
    return expected_regret(scores, gains, used)


def gumbel_ascent(
    scores: Tensor,
    gains: Tensor,
    used: Tensor,
    temperature: float,
    uniform: Tensor,
) -> Pair:
    """Return 1 - u of one candidate drawn per state, with a straight-through gradient.

    The value is that of the candidate with the greatest score plus Gumbel noise, which is drawn
    with probability softmax(scores); the gradient is that of the softmax at `temperature`.

    Args:
        scores: [B,M], -inf where used.
        gains: Oracle gains [B,M].
        used: bool [B,M].
        temperature: Softness of the gradient; see `annealed`.
        uniform: Uniform numbers in [0, 1) [B,M] that the draw is made of.
    """
    tiny = torch.finfo(scores.dtype).tiny
    waited = -torch.log(uniform.clamp_min(tiny))
    noise = -torch.log(waited.clamp_min(tiny))
    soft = torch.softmax((scores + noise) / temperature, dim=1)
    hard = functional.one_hot(soft.argmax(1), scores.shape[1]).to(soft.dtype)
    drawn = hard + soft - soft.detach()
    utility = normalised_gains(gains, used).masked_fill(used, 0.0)
    return (1 - (drawn * utility).sum(1)).sum(), _count(gains)


def annealed(progress: float, first: float = 1.0, last: float = 0.1) -> float:
    """Return a temperature that falls geometrically from first to last as progress goes 0 to 1."""
    share = min(max(progress, 0.0), 1.0)
    return exp((1 - share) * log(first) + share * log(last))


def norm_penalty(norm: Tensor) -> Pair:
    """Return (|v| - 1)^2, which keeps a vector that is normalised away from 0.

    Args:
        norm: Lengths |v| [B].
    """
    return (norm - 1).square().sum(), torch.tensor(float(len(norm)))


def _count(rows: Tensor) -> Tensor:
    return torch.tensor(float(len(rows)))
