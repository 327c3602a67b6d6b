"""From rollouts to the numbers of protocol `sphere-v1`: means, intervals, gap closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gimbal.experiment.samples import SampleMetric
from gimbal_nbv.gap import Interval, difference, gap_closed
from gimbal_nbv.metrics import QUALITY, ObjectScore, average

BASE, TOP = "farthest", "oracle"
"""The policies between which the gap lies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredObject:
    """One object with every policy's score.

    Attributes:
        object_id: Name of the object.
        family: Objects of one family are never split.
        source: `folder` or `procedural`.
        chamfer_floor_e3: Chamfer distance with all candidates, in thousandths of a diagonal.
        scores: By policy.
        quality: By policy, see `metrics.quality`; none where it was not measured.
    """

    object_id: str
    family: str
    source: str
    chamfer_floor_e3: float
    scores: Mapping[str, ObjectScore]
    quality: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)


def evaluate(objects: Sequence[ScoredObject], *, draws: int, seed: int) -> dict[str, Any]:
    """Return every number of an evaluation, ready for JSON.

    Args:
        objects: Held-out objects, all with the same policies.
        draws: Bootstrap draws over objects.
        seed: Seed of the draws.
    """
    policies = list(objects[0].scores)
    mean = {name: average([o.scores[name] for o in objects]) for name in policies}
    auc = {name: np.array([o.scores[name].auc for o in objects]) for name in policies}
    zeros = np.zeros(len(objects))
    means = {name: difference(auc[name], zeros, draws=draws, seed=seed) for name in policies}
    gaps = {
        name: gap_closed(auc[name], auc[BASE], auc[TOP], draws=draws, seed=seed)
        for name in policies
    }
    return {
        "auc": {name: score.auc for name, score in mean.items()},
        "auc_ci95": {name: _ci(means[name]) for name in policies},
        "coverage": {name: list(score.coverage) for name, score in mean.items()},
        "cd": {name: list(score.chamfer_e3) for name, score in mean.items()},
        "cd_floor": float(np.mean([o.chamfer_floor_e3 for o in objects])),
        **_quality(objects),
        "rri": {name: list(score.rri) for name, score in mean.items()},
        "regret": {name: list(score.regret) for name, score in mean.items()},
        "views_to_90": {name: score.views_to_90 for name, score in mean.items()},
        "spearman": {name: score.spearman for name, score in mean.items()},
        "ndcg5": {name: score.ndcg5 for name, score in mean.items()},
        "decision_ms": {name: 1e3 * score.cpu_s for name, score in mean.items()},
        "gap_closed": {
            **gaps["policy"].to_dict(),
            "per_policy": {name: gap.to_dict() for name, gap in gaps.items()},
        },
        "over_farthest": difference(auc["policy"], auc[BASE], draws=draws, seed=seed).to_dict(),
        "sighted_minus_blind": difference(
            auc["policy"], auc["blind"], draws=draws, seed=seed
        ).to_dict(),
        "per_object": [_object(o) for o in objects],
    }


def sample_metrics(per_object: Sequence[Mapping[str, Any]]) -> dict[str, SampleMetric]:
    """Return the learned policy's numbers object by object, for the comparison of runs.

    Gap closed is a ratio of sums over objects, as in `gap.gap_closed`: each object counts by how
    much there was to win on it.
    """
    auc = {o["object_id"]: o["auc"] for o in per_object}
    return {
        "auc": SampleMetric(better="higher", values={i: a["policy"] for i, a in auc.items()}),
        "cd": SampleMetric(
            better="lower",
            unit="1e-3 diagonals",
            values={o["object_id"]: o["cd"]["policy"][-1] for o in per_object},
        ),
        "gap_closed": SampleMetric(
            better="higher",
            values={i: a["policy"] - a[BASE] for i, a in auc.items()},
            over={i: a[TOP] - a[BASE] for i, a in auc.items()},
        ),
    }


def _quality(objects: Sequence[ScoredObject]) -> dict[str, dict[str, list[float]]]:
    """Average each number of `metrics.quality` over objects, by number and policy."""
    if not all(o.quality for o in objects):
        return {}
    return {
        number: {
            name: np.mean([o.quality[name][number] for o in objects], axis=0).tolist()
            for name in objects[0].quality
        }
        for number in QUALITY
    }


def _object(scored: ScoredObject) -> dict[str, Any]:
    auc = {name: score.auc for name, score in scored.scores.items()}
    room = auc[TOP] - auc[BASE]
    return {
        "object_id": scored.object_id,
        "family": scored.family,
        "source": scored.source,
        "auc": auc,
        "gap_closed": (auc["policy"] - auc[BASE]) / room if room > 1e-6 else None,
        "coverage": {name: list(score.coverage) for name, score in scored.scores.items()},
        "cd": {name: list(score.chamfer_e3) for name, score in scored.scores.items()},
    }


def _ci(interval: Interval) -> list[float]:
    return [interval.low, interval.high]
