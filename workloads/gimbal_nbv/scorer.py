"""The learned policy: one small network scores every candidate, trained on soft oracle targets.

Regressing the best view fails because several views are often nearly best; scoring candidates and
matching the softmax of their normalised gains does not. The same weights serve every candidate, so
the network takes any number of them in any order. A blind twin sees angles only: it shows how much
of a result comes from pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""`features` [B,M,F], `blind` [B,M,A], `gains` [B,M] and `used` bool [B,M]."""


@dataclass(frozen=True, kw_only=True)
class ScorerShape:
    """How large a scorer is.

    Attributes:
        features: Numbers that describe a candidate.
        hidden: Width of the hidden layers.
        context: Let a candidate know the mean and maximum of all others' hidden layer.
    """

    features: int
    hidden: int = 64
    context: bool = False


class CandidateScorer(nn.Module):
    """Scores candidates; permuting candidates permutes scores.

    Args:
        shape: Sizes.
        mean: Mean of every feature over the training set [F].
        std: Its standard deviation [F].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: ScorerShape, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone().clamp_min(1e-6))
        self.inner = nn.Sequential(
            nn.Linear(2 * shape.features, shape.hidden),
            nn.GELU(),
            nn.Linear(shape.hidden, shape.hidden),
            nn.GELU(),
        )
        width = shape.hidden * (3 if shape.context else 1)
        self.context = shape.context
        self.outer = nn.Sequential(
            nn.Linear(width, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, 1)
        )

    def forward(self, features: Tensor, used: Tensor) -> Tensor:
        """Return scores [B,M]; used candidates get -inf.

        Args:
            features: [B,M,F].
            used: bool [B,M], candidates already taken.
        """
        allowed = (~used).unsqueeze(-1).to(features.dtype)
        x = (features - self.mean) / self.std
        hidden = self.inner(torch.cat([x, z_scores(x, allowed)], dim=-1))
        if self.context:
            mean = (hidden * allowed).sum(1, keepdim=True) / allowed.sum(1, keepdim=True)
            peak = hidden.masked_fill(allowed == 0, -torch.inf).amax(1, keepdim=True)
            hidden = torch.cat([hidden, mean.expand_as(hidden), peak.expand_as(hidden)], dim=-1)
        scores: Tensor = self.outer(hidden).squeeze(-1)
        return scores.masked_fill(used, -torch.inf)


def z_scores(x: Tensor, allowed: Tensor) -> Tensor:
    """Return each feature's z-score among the open candidates of its own state [B,M,F].

    Args:
        x: [B,M,F].
        allowed: 1 for open candidates, else 0 [B,M,1].
    """
    count = allowed.sum(1, keepdim=True)
    mean = (x * allowed).sum(1, keepdim=True) / count
    variance = ((x - mean).square() * allowed).sum(1, keepdim=True) / count
    return (x - mean) / (variance + 1e-4).sqrt()


class NbvModel(nn.Module):
    """The policy and its blind twin, trained side by side on the same states."""

    def __init__(self, policy: CandidateScorer, blind: CandidateScorer) -> None:
        super().__init__()
        self.policy = policy
        self.blind = blind

    @classmethod
    def build(cls, moments: FeatureMoments, *, hidden: int = 64, context: bool = False) -> NbvModel:
        """Make both networks for the features whose moments are given."""
        twins = [
            CandidateScorer(
                ScorerShape(features=len(mean), hidden=hidden, context=context),
                torch.as_tensor(mean, dtype=torch.float32),
                torch.as_tensor(std, dtype=torch.float32),
            )
            for mean, std in (moments.sighted, moments.blind)
        ]
        return cls(*twins)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the scores of both networks, [B,M] each."""
        return {
            "policy": self.policy(batch["features"], batch["used"]),
            "blind": self.blind(batch["blind"], batch["used"]),
        }

    @torch.no_grad()
    def score(self, features: NDArray[np.float32], used: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Score with the policy, arrays in and out: [B,M,F] and [B,M] to [B,M]."""
        scores: Tensor = self.policy(torch.from_numpy(features), torch.from_numpy(used))
        return scores.numpy()

    @torch.no_grad()
    def score_blind(
        self, blind: NDArray[np.float32], used: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Score with the blind twin, arrays in and out: [B,M,A] and [B,M] to [B,M]."""
        scores: Tensor = self.blind(torch.from_numpy(blind), torch.from_numpy(used))
        return scores.numpy()


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Mean and standard deviation of each feature over a training set.

    Attributes:
        sighted: Of the policy's features, float64 [F] each.
        blind: Of the blind twin's features, float64 [A] each.
    """

    sighted: tuple[NDArray[np.float64], NDArray[np.float64]]
    blind: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, features: NDArray[np.float32], blind: NDArray[np.float32]) -> FeatureMoments:
        """Measure features [S,M,F] and [S,M,A]."""
        return cls(sighted=_moments(features), blind=_moments(blind))


def _moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    flat = values.reshape(-1, values.shape[-1])
    return flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)


def normalised_gains(gains: Tensor, used: Tensor) -> Tensor:
    """Return (gain - least) / (greatest - least) over each state's open candidates [B,M]."""
    least = gains.masked_fill(used, torch.inf).amin(1, keepdim=True)
    greatest = gains.masked_fill(used, -torch.inf).amax(1, keepdim=True)
    return (gains - least) / (greatest - least).clamp_min(1e-9)


def soft_target_loss(
    scores: Tensor, gains: Tensor, used: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return KL(softmax(u / temperature) || softmax(scores)) as a sum over states and their count.

    Args:
        scores: [B,M], -inf where used.
        gains: Oracle gains [B,M]; u is their normalised form.
        used: bool [B,M].
        temperature: Softness of the target; .1 spreads it over candidates within a tenth of the
            range of the best.
    """
    utility = normalised_gains(gains, used).masked_fill(used, -torch.inf)
    target = torch.softmax(utility / temperature, dim=1)
    log_target = torch.log_softmax(utility / temperature, dim=1)
    log_score = torch.log_softmax(scores, dim=1)
    difference = (log_target - log_score).masked_fill(used, 0.0)
    return (target * difference).sum(), torch.tensor(float(len(scores)))


def expected_regret(scores: Tensor, gains: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of 1 - u when views are drawn by softmax(scores), as (sum, count)."""
    missed = (1 - normalised_gains(gains, used)).masked_fill(used, 0.0)
    return (torch.softmax(scores, dim=1) * missed).sum(), torch.tensor(float(len(scores)))


def nbv_loss(
    model: nn.Module, batch: Batch, temperature: float = 0.1, regret_weight: float = 3.0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the loss of both networks as (sum, count) pairs.

    Args:
        model: An `NbvModel`, or its data-parallel wrapper.
        batch: See `Batch`.
        temperature: See `soft_target_loss`.
        regret_weight: Weight of the expected regret beside the divergence. The divergence teaches
            the whole ranking, the regret what matters when one view is taken.
    """
    return losses_of(model(batch), batch, temperature, regret_weight)


def losses_of(
    scores: Mapping[str, Tensor], batch: Batch, temperature: float = 0.1, regret_weight: float = 3.0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the losses of given scores; see `nbv_loss`. Only `gains` and `used` are read."""
    losses = {}
    for name, value in scores.items():
        total, count = soft_target_loss(value, batch["gains"], batch["used"], temperature)
        missed, _ = expected_regret(value, batch["gains"], batch["used"])
        losses[name] = (total + regret_weight * missed, count)
    return losses
