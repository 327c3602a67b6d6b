"""The loss of one network as a config asks for it: one (sum, count) pair of states."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gimbal_nbv.attention.inputs import PolicyOutput
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.objectives import choosing
from gimbal_nbv.objectives.ascent import Pair


def network_loss(
    output: PolicyOutput | Tensor,
    batch: Mapping[str, Tensor],
    model: ModelSettings,
    objective: ObjectiveSettings,
    progress: float = 0.0,
) -> Pair:
    """Return the objective of one network over a batch.

    Args:
        output: What it said; a tensor is scores of all candidates [B,M].
        batch: See `choosing.Batch`; without `uniform` nothing is drawn, the expectation is taken.
        model: Holds the softness of the targets.
        objective: What to train for.
        progress: How far training is, 0 to 1; anneals what is drawn.
    """
    if isinstance(output, Tensor):
        output = PolicyOutput(scores=output, direction=None, raw=output)
    numbers = choosing.Weights(
        temperature=model.temperature,
        regret_weight=objective.regret_weight,
        sharpness_at_64=objective.kappa,
        norm_weight=objective.norm_penalty,
        share_weight=3.0 * objective.information_gain,
        coverage_weight=objective.information_gain,
        progress=progress,
    )
    drawn = objective.gumbel and "uniform" in batch
    name = "map_ascent_gumbel" if drawn else objective.name
    terms = choosing.loss_terms(name, output, batch, numbers)
    totals, counts = zip(*terms.values(), strict=True)
    return sum(totals[1:], totals[0]), counts[0]
