"""What is asked of the output modes, and when it fails.

Answers that are not finite are counted by a check of their own; the others are made of the rest, so
that one bad answer does not hide where the good ones point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.diagnostics.finding import Check
from gimbal_nbv.diagnostics.statistics import share

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.output_modes import Modes

SATURATED, SHORT = 0.95, 0.1
MAX_AVOIDED, MAX_LOST, MAX_SATURATED, MAX_SHORT, MAX_ASKED = 0.1, 0.1, 0.1, 0.05, 0.1
SPHERICAL = ("spherical", "spherical_periodic")


def unanswered(missing: float) -> Check:
    """Ask that every answer is made of finite numbers.

    Args:
        missing: Share of states whose answer is not.
    """
    return Check(
        name="share of answers that are not finite",
        value=missing,
        op="<=",
        threshold=0.0,
        hint="the policy's weights or its inputs hold NaN or infinity: see bad_batches.json of the "
        "stage train, and lower train.lr",
    )


def checks_of(
    said: Modes, head: str, stages: Sequence[Mapping[str, Any]], lost: float
) -> tuple[Check, ...]:
    """Judge finite answers; without any, only `unanswered` can be asked.

    Args:
        said: Finite answers.
        head: Name of the policy's head.
        stages: By views taken.
        lost: Utility lost where good views lie apart.
    """
    if not stages:
        return ()
    return (*_avoided(stages), _averaging(said, lost), *_head_checks(said, head, stages))


def _avoided(stages: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """Compare how often targets and choices lie near seam and poles, over all states."""
    states = np.array([stage["states"] for stage in stages], dtype=float)

    def avoided(place: str) -> float:
        differences = [stage[f"target_{place}"] - stage[f"choice_{place}"] for stage in stages]
        return float(np.average(differences, weights=states))

    hint = "the head avoids a place where best views are: use model.head: discrete or unit_vector"
    return tuple(
        Check(
            name=f"share of best views near the {where} that choices avoid",
            value=avoided(place),
            op="<=",
            threshold=MAX_AVOIDED,
            hint=hint,
        )
        for place, where in (("seam", "seam"), ("pole", "poles"))
    )


def _averaging(modes: Modes, lost: float) -> Check:
    both = bool(modes.apart.any() and (~modes.apart).any())
    return Check(
        name="utility lost where good views lie apart",
        value=lost if both else None,
        op="<=",
        threshold=MAX_LOST,
        hint="a head that averages answers points between them: score candidates (model.head: "
        "discrete) or climb the map (objective.name: map_ascent)"
        if both
        else "good views lie apart in all states or in none",
    )


def _head_checks(modes: Modes, head: str, stages: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """Return the checks of numbers that only some heads have."""
    raw = modes.raw
    angular = raw is not None and head in SPHERICAL
    bent = (
        np.tanh(raw[:, -1:] if head == "spherical_periodic" else raw)
        if angular and raw is not None
        else None
    )
    length = np.linalg.norm(raw, axis=1) if raw is not None and head == "unit_vector" else None
    seam = max(float(stage["target_seam"]) for stage in stages) if head == "spherical" else None
    return (
        Check(
            name="angles said by a flat tanh",
            value=None if bent is None else share(np.abs(bent) > SATURATED),
            op="<=",
            threshold=MAX_SATURATED,
            hint=f"head {head} has no tanh"
            if bent is None
            else "their gradient is dead: use model.head: unit_vector",
        ),
        Check(
            name="best views near a seam the head has, worst N",
            value=seam,
            op="<=",
            threshold=MAX_ASKED,
            hint=f"head {head} has no seam"
            if seam is None
            else "the seam is reached only where tanh is flat: use spherical_periodic",
        ),
        Check(
            name="directions said by a vector near 0",
            value=None if length is None else share(length < SHORT),
            op="<=",
            threshold=MAX_SHORT,
            hint=f"head {head} says no vector"
            if length is None
            else "their direction is noise: raise objective.norm_penalty",
        ),
    )
