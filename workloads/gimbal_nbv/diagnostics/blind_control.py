"""Does the policy use what it sees?

Two controls. The blind twin was trained alike and never shown a pixel: if it does as well, nothing
was learned from pixels. And the trained policy itself plays with images of an object of another
family: if it does as well, it does not look at the one before it. Both drops are taken object by
object, from the same first views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench, BenchObject
from gimbal_nbv.diagnostics.blind_control_page import plots, table
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.statistics import Mean
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Policy, Scores
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.states import States

Values = NDArray[np.float64]

ERRORS = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class OtherEyes:
    """A policy that is shown another object's images, taken from the same views.

    Attributes:
        policy: Who chooses.
        other: The other object's features.
        name: Name in tables.
    """

    policy: Policy
    other: FeatureCache
    name: str = "other object"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the policy's scores of what the other object shows [B,M]."""
        del features
        return self.policy.scores(states, self.other)


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """AUC of one object, averaged over its first views.

    Attributes:
        object_id: Its name.
        sighted: Of the policy.
        blind: Of its blind twin.
        other: Of the policy that was shown another object; None where there is no other.
        other_id: Whose images those were.
        by_views: Lead of the policy over its blind twin in coverage, after 1..K views.
    """

    object_id: str
    sighted: float
    blind: float
    other: float | None
    other_id: str
    by_views: tuple[float, ...]


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Compare the run's policy with both controls on its held-out objects.

    Raises:
        CannotTell: The run holds no object out.
    """
    objects = list(bench.objects())
    if not objects:
        raise CannotTell("the run holds no object out", "raise data.test_shapes")
    policy = bench.policy("policy")
    played = []
    pairs = zip(objects, strangers([one.family for one in objects]), strict=True)
    for done, (one, place) in enumerate(pairs, start=1):
        played.append(_play(bench, policy, one, None if place is None else objects[place]))
        progress(done, len(objects), "objects")
    return diagnose(played)


def strangers(families: Sequence[str]) -> list[int | None]:
    """Return for each object the place of one of another family, or of any other, or None.

    A stranger is looked for from half the list away, so that not all objects get the same one.

    Args:
        families: Of every object, in order.
    """
    count = len(families)
    found: list[int | None] = []
    for place, family in enumerate(families):
        tried = [(place + count // 2 + step) % count for step in range(count)]
        others = [other for other in tried if other != place]
        strange = [other for other in others if families[other] != family]
        found.append(next(iter([*strange, *others]), None))
    return found


def _play(bench: Bench, policy: Policy, one: BenchObject, other: BenchObject | None) -> Played:
    rollouts = bench.rollouts(one.object_id)
    sighted, blind = (np.asarray(rollouts[name]["coverage"]) for name in ("policy", "blind"))
    auc = None
    if other is not None:
        starts = [int(view) for view in np.asarray(rollouts["policy"]["views"])[:, 0]]
        eyes = OtherEyes(policy=policy, other=other.cache())
        played = roll_out(eyes, one.oracle, starts, sighted.shape[1], other.cache())
        auc = float(played.coverage.mean())
    return Played(
        object_id=one.object_id,
        sighted=float(sighted.mean()),
        blind=float(blind.mean()),
        other=auc,
        other_id="" if other is None else other.object_id,
        by_views=tuple((sighted - blind).mean(axis=0).tolist()),
    )


def diagnose(played: Sequence[Played]) -> Diagnosis:
    """Judge both drops.

    Args:
        played: One entry an object.
    """
    blind = Mean.of([one.sighted - one.blind for one in played])
    drops = [one.sighted - one.other for one in played if one.other is not None]
    other = Mean.of(drops) if drops else None
    return Diagnosis(
        name="blind-control",
        question="Does the policy use what it sees?",
        answer=_answer(blind, other),
        checks=(
            _check(
                "sighted − blind AUC, in standard errors",
                blind,
                "nothing was learned from images: keep where the unseen boundary is (model.pooling "
                "not mean), train longer, or give candidates rays (model.candidate_features)",
            ),
            _check(
                "AUC lost with another object's images, in standard errors",
                other,
                "the policy does not look at the object before it: check what its tokens or "
                "features are made of",
            ),
        ),
        numbers=_all_numbers(played, blind, other),
        tables=(table(played),),
        plots=plots(played),
    )


def _all_numbers(played: Sequence[Played], blind: Mean, other: Mean | None) -> dict[str, Any]:
    names = ("object_id", "sighted", "blind", "other", "other_id")
    return {
        "objects": len(played),
        "sighted_minus_blind": _numbers(blind),
        "sighted_minus_other": None if other is None else _numbers(other),
        "per_object": [{name: getattr(one, name) for name in names} for one in played],
    }


def _check(name: str, mean: Mean | None, hint: str) -> Check:
    value = None if mean is None else mean.in_errors
    missing = "a standard error needs two held-out objects: raise data.test_shapes"
    return Check(
        name=name, value=value, op=">", threshold=ERRORS, hint=missing if value is None else hint
    )


def _numbers(mean: Mean) -> dict[str, Any]:
    return {
        "mean": mean.value,
        "standard_error": mean.error,
        "ci95": None if mean.ci95 is None else list(mean.ci95),
    }


def _answer(blind: Mean, other: Mean | None) -> str:
    said = f"Pixels are worth {_written(blind)} AUC"
    if other is None:
        return f"{said}; there is no other object to confuse the policy with."
    return f"{said}; shown another object, the policy loses {_written(other)}."


def _written(mean: Mean) -> str:
    error = "" if mean.error is None else f" ± {mean.error:.4f}"
    return f"{mean.value:.4f}{error}".replace("-", "−")
