"""Completion nets trained out of fold: a training object's feature comes from a net without it.

A net that was trained on an object guesses its hidden side too well. A scorer that learns from such
guesses trusts them more than those of unseen objects deserve. Therefore the training objects are
dealt into folds, family by family, and each fold is described by a net trained on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gimbal_nbv.completion_settings import CompletionSettings
from gimbal_nbv.holding_out import folds_of
from gimbal_nbv.oracle import Sets
from gimbal_nbv.reconstruction.completion import Completion
from gimbal_nbv.reconstruction.completion_feature import Scores, completion_scores
from gimbal_nbv.reconstruction.completion_net import CompletionNet, completion_loss
from gimbal_nbv.stages.completion import CompletionTask, OracleRows, Rows
from gimbal_nbv.stages.reading import read_oracle

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class FoldSettings:
    """How nets are trained out of fold.

    Attributes:
        completion: The net and its training.
        folds: Into how many folds the training objects are dealt.
        seed: Decides folds, initial weights and the order of samples.
    """

    completion: CompletionSettings
    folds: int = 3
    seed: int = 0


def fit_completion(
    oracles: OracleRows, objects: Rows, settings: CompletionSettings, seed: int
) -> Completion:
    """Train a completion net in this process, without checkpoints; for scripts.

    The stage `completion` is what a run uses. Batch, rates and losses are the same.

    Args:
        oracles: The oracle maps.
        objects: Row numbers of the objects to train on.
        settings: The net and its training: AdamW with warm-up and cosine.
        seed: Decides initial weights and the order of samples.
    """
    torch.manual_seed(seed)
    task = CompletionTask(settings, oracles, (objects, objects[:0]), seed)
    net, source, plan = CompletionNet(settings.width), task.source("train"), settings.train
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    rng = np.random.default_rng(seed)
    for _ in range(plan.steps):
        chosen = rng.choice(len(source), plan.global_batch, replace=len(source) < plan.global_batch)
        batch = {name: torch.from_numpy(value) for name, value in source.fetch(chosen).items()}
        loss = torch.zeros(())
        for name, (total, count) in completion_loss(net, **batch).items():
            loss = loss + task.term_weights[name] * total / count
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if plan.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip_norm)
        optimizer.step()
        rate.step()
    return Completion(
        net.eval(),
        threshold=settings.threshold,
        keep_measured=settings.keep_measured,
        grid=oracles.protocol.grid,
    )


def _rate(step: int, settings: CompletionSettings) -> float:
    plan = settings.train
    warm = min(1.0, (step + 1) / max(plan.warmup_steps, 1))
    return float(warm * 0.5 * (1 + np.cos(np.pi * step / plan.steps)))


def out_of_fold_scores(
    oracles: OracleRows,
    sets: Mapping[int, Sets],
    settings: FoldSettings,
    say: Say = lambda words: None,
) -> dict[int, Scores]:
    """Score the candidates of training states by nets that never saw their objects.

    Args:
        oracles: The oracle maps.
        sets: View sets [B,K] of each training object, by its row number in `oracles`.
        settings: How the nets are trained.
        say: Called with a few words after each fold.

    Returns:
        `completion_scores` [B,M,k] of each object, by its row number.
    """
    rows = oracles.rows
    names, families = rows.column("object_id"), rows.column("family")
    dealt = folds_of(
        {str(names[row]): str(families[row]) for row in sets}, settings.folds, settings.seed
    )
    found: dict[int, Scores] = {}
    for fold in range(settings.folds):
        inside = [row for row in sets if dealt[str(names[row])] == fold]
        outside = np.array([row for row in sets if dealt[str(names[row])] != fold], dtype=np.int64)
        net = fit_completion(oracles, outside, settings.completion, settings.seed + fold)
        found |= scores_of(oracles, {row: sets[row] for row in inside}, net)
        say(f"fold {fold + 1} of {settings.folds}: {len(inside)} objects scored")
    return found


def scores_of(
    oracles: OracleRows, sets: Mapping[int, Sets], completion: Completion
) -> dict[int, Scores]:
    """Score the candidates of states by one net; see `out_of_fold_scores`."""
    return {
        row: completion_scores(read_oracle(oracles.rows, row, oracles.protocol), mine, completion)
        for row, mine in sets.items()
    }


def sets_by_object(
    objects: Iterable[str], views: Sets, row_of: Mapping[str, int]
) -> dict[int, Sets]:
    """Group the rows of the stage `states` by object, in their order.

    Args:
        objects: Column `object_id` of the states.
        views: Column `views` [S,K].
        row_of: Row number of each object in the stage `oracle`.
    """
    names = np.asarray(list(objects), dtype=str)
    return {row_of[str(name)]: views[names == name] for name in dict.fromkeys(names)}
