"""The training of `scorer_push.py`: stage `train` without Ray and without the blind twin.

Loss, batches, learning rate and the choice of the checkpoint are those of the stage; only the
twin, which shares nothing with the policy, is left out.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import clip_grad_norm_

from gimbal.training.order import SampleOrder
from gimbal.training.schedule import rate_factor, set_rates
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.scorer import CandidateScorer, ScorerShape, losses_of, normalised_gains
from gimbal_nbv.states import States
from push_data import KeptFeatures, Rows

EMA_DECAY = 0.998


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one scorer is trained.

    Attributes:
        hidden: See `ScorerShape`.
        context: See `ScorerShape`.
        temperature: See `soft_target_loss`.
        regret_weight: See `nbv_loss`.
        weight_decay: Of AdamW.
        noise: Standard deviation of noise on the features, in theirs.
        averaged: Keep the moving average of the weights at the end, not the best checkpoint.
        steps: Optimizer steps; those of the run by default.
    """

    hidden: int = 64
    context: bool = False
    temperature: float = 0.1
    regret_weight: float = 3.0
    weight_decay: float = 1e-3
    noise: float = 0.0
    averaged: bool = False
    steps: int | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows that choose the checkpoint."""

    rows: Rows
    train: NDArray[np.int64]
    val: NDArray[np.int64]


@dataclass(frozen=True)
class Seeds:
    """Seed of the first weights and of the batches; members of an ensemble share the second."""

    weights: int
    order: int


def trained(
    file: Path, split: Split, recipe: Recipe, seeds: Seeds, settings: Any
) -> tuple[CandidateScorer, dict[str, float]]:
    """Train a scorer, or read what an earlier call trained; return it with its numbers."""
    scorer = _fresh(split, recipe, seeds)
    if recipe.steps:
        changes = {"steps": recipe.steps, "validate_every": recipe.steps // 10}
        settings = settings.model_copy(update=changes)
    if not file.exists():
        begin = time.process_time()
        states, curve = _fit(scorer, split, recipe, seeds, settings)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(states, file)
        numbers = {"cpu_s": time.process_time() - begin, "curve": curve}
        file.with_suffix(".json").write_text(json.dumps(numbers))
    scorer.load_state_dict(torch.load(file)["ema" if recipe.averaged else "best"])
    scorer.eval()
    numbers = json.loads(file.with_suffix(".json").read_text())
    best = min(numbers["curve"], key=lambda row: row["loss"])
    loss, regret = judged(scorer, split)
    return scorer, {
        "cpu_s": numbers["cpu_s"], "best_step": best["step"], "loss": loss, "regret": regret
    }  # fmt: skip


def _fresh(split: Split, recipe: Recipe, seeds: Seeds) -> CandidateScorer:
    torch.manual_seed(seeds.weights)
    some = split.train[np.linspace(0, len(split.train) - 1, 4096, dtype=np.int64)]
    flat = split.rows.features[torch.from_numpy(some)].flatten(0, 1).double()
    shape = ScorerShape(features=flat.shape[1], hidden=recipe.hidden, context=recipe.context)
    return CandidateScorer(shape, flat.mean(0).float(), flat.std(0, correction=0).float())


def _fit(
    scorer: CandidateScorer, split: Split, recipe: Recipe, seeds: Seeds, settings: Any
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    optimizer = torch.optim.AdamW(
        scorer.parameters(), settings.lr, weight_decay=recipe.weight_decay, fused=True
    )
    order = SampleOrder(len(split.train), settings.global_batch, seeds.order)
    ema, best, curve = copy.deepcopy(scorer), {}, []
    for step in range(settings.steps):
        set_rates(optimizer, [settings.lr], rate_factor(settings, step))
        batch = split.rows.batch(split.train[order.batch(step)])
        if recipe.noise:
            features = batch["features"]
            batch["features"] = features + recipe.noise * scorer.std * torch.randn_like(features)
        total, count = _loss(scorer, batch, recipe.temperature, recipe.regret_weight)
        optimizer.zero_grad()
        (total / count).backward()
        clip_grad_norm_(scorer.parameters(), settings.clip_norm)
        optimizer.step()
        _follow(ema, scorer, min(EMA_DECAY, (1 + step) / (10 + step)))
        if (step + 1) % settings.validate_every == 0:
            loss, regret = judged(scorer, split)
            if loss <= min((row["loss"] for row in curve), default=np.inf):
                best = copy.deepcopy(scorer.state_dict())
            curve.append({"step": step + 1, "loss": loss, "regret": regret})
    return {"best": best, "ema": ema.state_dict()}, curve


def _loss(
    scorer: nn.Module, batch: dict[str, torch.Tensor], temperature: float, weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = {"policy": scorer(batch["features"], batch["used"])}
    return losses_of(scores, batch, temperature, weight)["policy"]


@torch.no_grad()
def _follow(ema: nn.Module, module: nn.Module, decay: float) -> None:
    for mean, value in zip(ema.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


@torch.no_grad()
def judged(scorer: nn.Module, split: Split) -> tuple[float, float]:
    """Return loss (at the default softness) and regret on the rows that choose."""
    loss = regret = 0.0
    for start in range(0, len(split.val), 256):
        batch = split.rows.batch(split.val[start : start + 256])
        scores = scorer(batch["features"], batch["used"])
        loss += float(losses_of({"policy": scores}, batch)["policy"][0])
        utility = normalised_gains(batch["gains"], batch["used"])
        regret += float((1 - utility.gather(1, scores.argmax(1, keepdim=True))).sum())
    return loss / len(split.val), regret / len(split.val)


class Ensemble(nn.Module):
    """The mean of several scorers' log-probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, features: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        scores = [torch.log_softmax(member(features, used), dim=1) for member in self.members]
        return torch.stack(scores).mean(0)


@dataclass(frozen=True, eq=False)
class Scored:
    """A policy that scores with any module of features and used candidates."""

    module: nn.Module
    name: str = "policy"
    widened: bool = False

    def scores(self, states: States, features: FeatureCache) -> Scores:
        if self.widened and isinstance(features, KeptFeatures):
            return self.of(features.widened(states), states.used)
        return self.of(features.sighted(states), states.used)

    @torch.no_grad()
    def of(self, features: NDArray[np.float32], used: NDArray[np.bool_]) -> Scores:
        scores = self.module(torch.from_numpy(features), torch.from_numpy(used))
        return np.asarray(scores.numpy(), dtype=np.float64)
