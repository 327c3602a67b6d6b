"""From the name of an objective to the terms of a loss.

Every term is a weighted sum over states and the number of states, so that terms add up to the same
loss however a batch is cut among workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from gimbal_nbv.attention.inputs import PolicyOutput
from gimbal_nbv.errors import PolicyError
from gimbal_nbv.objectives import ascent, regression
from gimbal_nbv.objectives.ascent import Pair
from gimbal_nbv.scorer import expected_regret, soft_target_loss

Batch = Mapping[str, Tensor]
"""`gains` [B,M], `used` bool [B,M] and `candidates` [B,M,3]; with auxiliary outputs also
`unknown_share` [B,M] of rays or `coverage` [B] of samples, and where candidates are drawn `uniform`
[B,M], numbers in [0, 1)."""


class Objective(StrEnum):
    """What an attention policy is trained for."""

    ORACLE_SOFT = "oracle_soft"
    """The whole ranking: the softmax of normalised gains, and the expected regret."""
    MAP_ASCENT = "map_ascent"
    """The utility that can be expected, by its exact gradient."""
    MAP_ASCENT_GUMBEL = "map_ascent_gumbel"
    """The same for one drawn candidate, straight through."""
    RRI_REGRESSION = "rri_regression"
    """Each candidate's normalised gain."""
    ARGMAX_REGRESSION = "argmax_regression"
    """The best candidate's direction, or its azimuth and elevation of a spherical head: a reference
    known to be bad, and with angles worse."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Numbers of the objectives.

    Attributes:
        temperature: Softness of the soft target.
        regret_weight: Weight of the expected regret beside the soft target's divergence.
        sharpness_at_64: Sharpness of the kernel among 64 candidates.
        norm_weight: Weight of (|v| - 1)^2 of a unit-vector head.
        huber_delta: Error of a normalised gain beyond which it counts linearly.
        refinement_weight: Weight of the refined direction's ascent.
        share_weight: Weight of the guessed unknown shares.
        coverage_weight: Weight of the guessed coverage.
        progress: How far training is, 0 to 1; anneals the Gumbel temperature.
    """

    temperature: float = 0.1
    regret_weight: float = 3.0
    sharpness_at_64: float = 25.0
    norm_weight: float = 0.1
    huber_delta: float = 0.1
    refinement_weight: float = 0.25
    share_weight: float = 3.0
    coverage_weight: float = 1.0
    progress: float = 0.0


def loss_terms(
    objective: str, output: PolicyOutput, batch: Batch, settings: Weights
) -> dict[str, Pair]:
    """Return the terms of a loss as (sum, count) pairs; the loss is the sum of their quotients.

    Args:
        objective: Value of an `Objective`.
        output: What the policy said.
        batch: What the oracle says; see `Batch`.
        settings: Weights.

    Raises:
        PolicyError: There is no such objective, or it cannot train this head.
    """
    if objective not in _TERMS:
        raise PolicyError(
            f"no objective '{objective}'", f"use {' or '.join(name.value for name in _TERMS)}"
        )
    terms = _TERMS[Objective(objective)](output, batch, settings)
    if output.norm is not None:
        terms["norm"] = _times(settings.norm_weight, ascent.norm_penalty(output.norm))
    if output.direction is not None and not output.continuous:
        climbed = _climb(output.direction, batch, settings)
        terms["refinement"] = _times(settings.refinement_weight, climbed)
    return terms | _auxiliary(output, batch, settings)


def _oracle_soft(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    scores, gains, used = output.scores, batch["gains"], batch["used"]
    if output.continuous:
        scores = scores * ascent.sharpness_of(scores.shape[1], settings.sharpness_at_64)
    return {
        "soft_target": soft_target_loss(scores, gains, used, settings.temperature),
        "regret": _times(settings.regret_weight, expected_regret(scores, gains, used)),
    }


def _map_ascent(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    if output.continuous and output.direction is not None:
        return {"ascent": _climb(output.direction, batch, settings)}
    return {"ascent": ascent.score_ascent(output.scores, batch["gains"], batch["used"])}


def _gumbel(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    _demand(not output.continuous, "map_ascent_gumbel draws candidates", "the discrete head")
    temperature = ascent.annealed(settings.progress)
    uniform = batch["uniform"].to(output.scores)
    terms = ascent.gumbel_ascent(output.scores, batch["gains"], batch["used"], temperature, uniform)
    return {"ascent": terms}


def _rri(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    _demand(
        not output.continuous, "rri_regression needs a score per candidate", "the discrete head"
    )
    delta = settings.huber_delta
    terms = regression.gain_regression(output.raw, batch["gains"], batch["used"], delta)
    return {"regression": terms}


def _argmax(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    del settings
    if not output.continuous or output.direction is None:
        raise PolicyError("argmax_regression needs a direction", "use a continuous head")
    oracle = (batch["candidates"], batch["gains"], batch["used"])
    if output.angles is not None:
        return {"regression": regression.best_angles(output.angles, *oracle)}
    said = output.direction if output.point is None else output.point
    return {"regression": regression.best_direction(said, *oracle)}


_TERMS: dict[Objective, Callable[[PolicyOutput, Batch, Weights], dict[str, Pair]]] = {
    Objective.ORACLE_SOFT: _oracle_soft,
    Objective.MAP_ASCENT: _map_ascent,
    Objective.MAP_ASCENT_GUMBEL: _gumbel,
    Objective.RRI_REGRESSION: _rri,
    Objective.ARGMAX_REGRESSION: _argmax,
}


def _auxiliary(output: PolicyOutput, batch: Batch, settings: Weights) -> dict[str, Pair]:
    terms = {}
    if output.unknown_share is not None and "unknown_share" in batch:
        share = regression.share_regression(
            output.unknown_share, batch["unknown_share"], batch["used"]
        )
        terms["unknown_share"] = _times(settings.share_weight, share)
    if output.coverage is not None and "coverage" in batch:
        covered = regression.coverage_regression(output.coverage, batch["coverage"])
        terms["coverage"] = _times(settings.coverage_weight, covered)
    return terms


def _climb(direction: Tensor, batch: Batch, settings: Weights) -> Pair:
    gains = batch["gains"]
    sharpness = ascent.sharpness_of(gains.shape[1], settings.sharpness_at_64)
    return ascent.direction_ascent(direction, batch["candidates"], gains, batch["used"], sharpness)


def _times(weight: float, pair: Pair) -> Pair:
    return weight * pair[0], pair[1]


def _demand(holds: bool, message: str, use: str) -> None:
    if not holds:
        raise PolicyError(message, f"use {use}")
