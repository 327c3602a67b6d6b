"""Regressing what the oracle says: gains, its best view, or facts about the scene.

`best_direction` and `best_angles` are kept as references known to be bad. Several views are often
nearly best, the mean of their directions is none of them, and a mean of azimuths is worse still: it
breaks at the seam and at the poles.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gimbal_nbv.attention.heads import to_angles
from gimbal_nbv.objectives.ascent import Pair
from gimbal_nbv.scorer import normalised_gains


def gain_regression(scores: Tensor, gains: Tensor, used: Tensor, delta: float = 0.1) -> Pair:
    """Return the Huber distance of scores to normalised gains, averaged over open candidates.

    It is divided by `delta`, so that a large error e costs e - delta/2.

    Args:
        scores: [B,M]; used candidates are not read.
        gains: Oracle gains or relative improvements [B,M].
        used: bool [B,M].
        delta: Error beyond which the distance is linear.
    """
    utility = normalised_gains(gains, used).masked_fill(used, 0.0)
    error = functional.huber_loss(
        scores.masked_fill(used, 0.0), utility, reduction="none", delta=delta
    )
    return _mean_over_open(error / delta, used)


def best_of(candidates: Tensor, gains: Tensor, used: Tensor) -> Tensor:
    """Return the direction of each state's open candidate of greatest gain [B,3]."""
    best = gains.masked_fill(used, -torch.inf).argmax(1)
    return candidates.gather(1, best.view(-1, 1, 1).expand(-1, 1, 3))[:, 0]


def best_direction(said: Tensor, candidates: Tensor, gains: Tensor, used: Tensor) -> Pair:
    """Return the squared distance of vectors [B,3] to the best candidate's direction."""
    error = (said - best_of(candidates, gains, used)).square().sum(-1)
    return error.sum(), torch.tensor(float(len(said)))


def best_angles(angles: Tensor, candidates: Tensor, gains: Tensor, used: Tensor) -> Pair:
    """Return the squared distance of azimuth and elevation [B,2] to the best candidate's numbers.

    Two directions on both sides of the seam are 2 pi apart here, and near a pole all azimuths
    differ though they mean one direction. That is the point of this reference.
    """
    error = (angles - to_angles(best_of(candidates, gains, used))).square().sum(-1)
    return error.sum(), torch.tensor(float(len(angles)))


def share_regression(guess: Tensor, truth: Tensor, used: Tensor) -> Pair:
    """Return the squared error of guessed unknown shares [B,M], averaged over open candidates."""
    return _mean_over_open((guess - truth).square(), used)


def coverage_regression(guess: Tensor, truth: Tensor) -> Pair:
    """Return the squared error of guessed coverages [B]."""
    return (guess - truth).square().sum(), torch.tensor(float(len(guess)))


def _mean_over_open(error: Tensor, used: Tensor) -> Pair:
    open_ = (~used).to(error.dtype)
    per_state = (error * open_).sum(1) / open_.sum(1).clamp_min(1)
    return per_state.sum(), torch.tensor(float(len(error)))
