"""Numbers of a rollout: coverage, AUC, Chamfer, RRI, regret, views to 90 %, ranking quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.rollout import Rollout

Values = NDArray[np.float64]

TARGET_COVERAGE = 0.9
_NDCG_DEPTH = 5


@dataclass(frozen=True, kw_only=True)
class ObjectScore:
    """One policy on one object, averaged over its first views.

    Attributes:
        coverage: After 1..K views.
        auc: Mean of `coverage`.
        chamfer_e3: Chamfer distance after 1..K views, in thousandths of a diagonal.
        rri: Relative decrease of the Chamfer distance by views 2..K.
        regret: Share of the range of gains missed by views 2..K; 0 took the best, 1 the worst.
        views_to_90: Views until coverage .9; K + 1 where the budget was not enough.
        spearman: Rank correlation of scores and gains over open candidates.
        ndcg5: Discounted gain of the five best-scored candidates, over the best possible.
        cpu_s: CPU seconds of a decision.
    """

    coverage: tuple[float, ...]
    auc: float
    chamfer_e3: tuple[float, ...]
    rri: tuple[float, ...]
    regret: tuple[float, ...]
    views_to_90: float
    spearman: float
    ndcg5: float
    cpu_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def score_rollout(rollout: Rollout) -> ObjectScore:
    """Measure one rollout."""
    before, after = rollout.chamfer[:, :-1], rollout.chamfer[:, 1:]
    return ObjectScore(
        coverage=_means(rollout.coverage),
        auc=float(rollout.coverage.mean()),
        chamfer_e3=_means(1e3 * rollout.chamfer),
        rri=_means((before - after) / np.maximum(before, 1e-12)),
        regret=_means(regret(rollout)),
        views_to_90=float(views_to(rollout.coverage, TARGET_COVERAGE).mean()),
        spearman=float(rank_correlation(rollout.scores, rollout.gains, rollout.used).mean()),
        ndcg5=float(ndcg(rollout.scores, rollout.gains, rollout.used, _NDCG_DEPTH).mean()),
        cpu_s=rollout.cpu_s,
    )


QUALITY = ("accuracy", "completeness", "f_score", "cd_squared")
"""What `quality` measures."""


def quality(oracle: OracleMap, views: NDArray[np.int32]) -> dict[str, list[float]]:
    """Measure the reconstructions of a rollout beyond their Chamfer distance.

    Args:
        oracle: The object.
        views: Views in the order taken [R,K].

    Returns:
        Means over the R starts after 1..K views: both halves of the Chamfer distance in thousandths
        of a diagonal, the F-score at the protocol's threshold, and the Chamfer distance of squared
        distances in millionths of a squared diagonal.
    """
    prefixes = [views[:, : k + 1] for k in range(views.shape[1])]
    return {
        "accuracy": [1e3 * float(oracle.accuracy_of(sets).mean()) for sets in prefixes],
        "completeness": [1e3 * float(oracle.completeness(sets).mean()) for sets in prefixes],
        "f_score": [float(oracle.f_score(sets).mean()) for sets in prefixes],
        "cd_squared": [1e6 * float(oracle.chamfer(sets, squared=True).mean()) for sets in prefixes],
    }


def average(scores: Sequence[ObjectScore]) -> ObjectScore:
    """Average one policy over objects; every object weighs the same."""
    columns: dict[str, Any] = {}
    for name in ObjectScore.__dataclass_fields__:
        mean = np.mean([getattr(score, name) for score in scores], axis=0)
        columns[name] = tuple(mean.tolist()) if mean.ndim else float(mean)
    return ObjectScore(**columns)


def regret(rollout: Rollout) -> Values:
    """Return (best gain - gain taken) / (best - worst) of each decision [R,K-1].

    Where all open candidates gain the same there is nothing to regret: 0.
    """
    worst = np.where(rollout.used, np.inf, rollout.gains).min(axis=-1)
    best = np.where(rollout.used, -np.inf, rollout.gains).max(axis=-1)
    taken = np.take_along_axis(rollout.gains, rollout.views[:, 1:, None], axis=-1)[..., 0]
    spread = best - worst
    return np.asarray(np.where(spread > 0, (best - taken) / np.where(spread > 0, spread, 1), 0.0))


def views_to(coverage: Values, target: float) -> NDArray[np.int64]:
    """Return the first number of views whose coverage reaches a target [R]; K + 1 where none."""
    reached = coverage >= target
    first = reached.argmax(axis=1) + 1
    return np.asarray(np.where(reached.any(axis=1), first, coverage.shape[1] + 1))


def rank_correlation(scores: Values, gains: Values, used: NDArray[np.bool_]) -> Values:
    """Return Spearman's correlation over the open candidates of each decision [...].

    Ties share their mean rank; a constant score or gain has no ranking and counts as 0.
    """
    out = np.zeros(scores.shape[:-1])
    for index in np.ndindex(out.shape):
        open_ = ~used[index]
        a, b = (rankdata(values[index][open_]) for values in (scores, gains))
        a, b = a - a.mean(), b - b.mean()
        norm = float(np.sqrt((a @ a) * (b @ b)))
        out[index] = a @ b / norm if norm > 0 else 0.0
    return out


def ndcg(scores: Values, gains: Values, used: NDArray[np.bool_], depth: int) -> Values:
    """Return the normalised discounted cumulative gain of each decision [...].

    Relevance is the true gain; where no open candidate gains anything every order is ideal: 1.
    """
    relevance = np.where(used, 0.0, gains)
    order = np.argsort(-np.where(used, -np.inf, scores), axis=-1, kind="stable")[..., :depth]
    discount = 1 / np.log2(np.arange(order.shape[-1]) + 2)
    got = (np.take_along_axis(relevance, order, axis=-1) * discount).sum(axis=-1)
    ideal = (-np.sort(-relevance, axis=-1)[..., : order.shape[-1]] * discount).sum(axis=-1)
    return np.asarray(np.where(ideal > 0, got / np.where(ideal > 0, ideal, 1), 1.0))


def _means(values: Values) -> tuple[float, ...]:
    return tuple(values.mean(axis=0).tolist())
