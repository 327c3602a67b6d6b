"""Where does the policy's head point, and can it point where the best views are?

Directions are seen from the first view: azimuth runs around its camera's up, 0 and 2 pi at the
first view itself, so the seam of a spherical head lies where a second view hardly ever is, but
third and later ones are. Only a head that names angles can suffer from seam, poles and saturation;
every head can avoid what the targets ask for, and one that averages loses where good answers lie
apart. So those three are compared between targets and choices for all heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.output_modes_page import plots, table
from gimbal_nbv.diagnostics.statistics import share
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.policies.base import Policy, choose
from gimbal_nbv.protocol import SphereProtocol, first_frames
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.training_data import Target, target_gains

Values = NDArray[np.float64]

STATES = 20
"""States of each object; lengths go round."""
SEAM_DEG, POLE_DEG, APART_DEG = 30.0, 60.0, 90.0
GOOD, SATURATED, SHORT = 0.9, 0.95, 0.1
MAX_AVOIDED, MAX_LOST, MAX_SATURATED, MAX_SHORT, MAX_ASKED = 0.1, 0.1, 0.1, 0.05, 0.1
LEARNED_AS_COVERAGE = (
    "Best views are those that gain most coverage, not those of the learned target the run was "
    "trained by (states.target: learned_rri)."
)
SPHERICAL = ("spherical", "spherical_periodic")


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """What a policy says in B states.

    Attributes:
        views: Views taken [B].
        target: Azimuth and elevation of the best candidate in degrees [B,2], first view's frame.
        choice: The same of the policy's choice [B,2].
        utility: (gain - least) / (greatest - least) of the choice [B].
        apart: Whether candidates with utility above .9 lie more than 90 degrees apart [B].
        raw: What a continuous head's last layer said [B,K]; None of a head that scores.
    """

    views: NDArray[np.int64]
    target: Values
    choice: Values
    utility: Values
    apart: NDArray[np.bool_]
    raw: Values | None = None


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Ask the run's policy about states of its held-out objects.

    Raises:
        CannotTell: The run holds no object out.
    """
    policy = bench.policy("policy")
    named = bench.config.states.target
    target: Target = "chamfer" if named == "chamfer" else "coverage"
    found = []
    for done, one in enumerate(bench.objects(), start=1):
        rng = np.random.default_rng([bench.seed, crc32(one.object_id.encode())])
        longest = min(bench.config.states.longest, one.oracle.views - 2)
        states = sample_states(
            one.oracle, STATES, rng, longest=longest, first=bench.config.first_view
        )
        found.append(ask(policy, states, one.cache(), target))
        progress(done, bench.count(), "objects")
    if not found:
        raise CannotTell("the run holds no object out", "raise data.test_shapes")
    head = bench.config.model.head if bench.config.model.policy == "attention" else "scorer"
    diagnosis = diagnose(join(found), head)
    if named != "learned_rri":
        return diagnosis
    return replace(diagnosis, answer=f"{diagnosis.answer} {LEARNED_AS_COVERAGE}")


def ask(policy: Policy, states: States, cache: FeatureCache, target: Target) -> Modes:
    """Ask a policy about states of one object, of which `cache` holds what can be seen."""
    from gimbal_nbv.policies.learned import AttentionPolicy

    if not isinstance(policy, AttentionPolicy):
        return modes_of(states, policy.scores(states, cache), target)
    answer = policy.answer(states, cache)
    modes = modes_of(states, answer.scores.numpy().astype(float), target)
    if not answer.continuous or answer.direction is None:
        return modes
    said = angles_deg(answer.direction.numpy().astype(float))
    return replace(modes, choice=said, raw=answer.raw.numpy().astype(float))


def modes_of(states: States, scores: Values, target: Target) -> Modes:
    """Describe targets and choices of states, given a policy's scores [B,M]."""
    gains, used = target_gains(states, target), states.used
    least = np.where(used, np.inf, gains).min(axis=1, keepdims=True)
    most = np.where(used, -np.inf, gains).max(axis=1, keepdims=True)
    utility = (gains - least) / np.maximum(most - least, 1e-12)
    best, chosen = np.where(used, -np.inf, gains).argmax(axis=1), choose(scores, states)
    protocol, rows = states.oracle.protocol, np.arange(len(states))
    return Modes(
        views=states.counts,
        target=seen_from_first(protocol, states, best),
        choice=seen_from_first(protocol, states, chosen),
        utility=utility[rows, chosen],
        apart=good_ones_apart(protocol, np.where(used, -np.inf, utility)),
    )


def seen_from_first(protocol: SphereProtocol, states: States, views: NDArray[np.int64]) -> Values:
    """Return azimuth and elevation in degrees [B,2] of candidates, in each first view's frame."""
    frames = first_frames(protocol, states.sets[:, 0])
    return angles_deg(np.einsum("bij,bi->bj", frames, protocol.directions[views]))


def angles_deg(directions: Values) -> Values:
    """Return azimuth in [0, 360) and elevation in degrees [...,2]; as `attention.heads.to_angles`.

    Azimuth runs around y from z, the first camera, towards x; elevation rises towards y.

    Args:
        directions: Unit vectors [...,3] in the frame of the first view.
    """
    x, y, z = np.moveaxis(directions, -1, 0)
    azimuth = np.degrees(np.arctan2(x, z)) % 360.0
    return np.stack([azimuth, np.degrees(np.arcsin(np.clip(y, -1, 1)))], axis=-1)


def good_ones_apart(protocol: SphereProtocol, utility: Values) -> NDArray[np.bool_]:
    """Return whether the candidates with utility above .9 span more than 90 degrees [B]."""
    cosine = protocol.directions @ protocol.directions.T
    limit = np.cos(np.radians(APART_DEG)) - 1e-9
    return np.array([bool((cosine[np.ix_(good, good)] < limit).any()) for good in utility > GOOD])


def near_seam(angles: Values) -> NDArray[np.bool_]:
    """Return which azimuths lie within 30 degrees of the seam at 0."""
    return np.asarray(np.minimum(angles[..., 0], 360.0 - angles[..., 0]) < SEAM_DEG)


def near_pole(angles: Values) -> NDArray[np.bool_]:
    """Return which elevations lie above 60 degrees."""
    return np.asarray(np.abs(angles[..., 1]) > POLE_DEG)


def join(found: Sequence[Modes]) -> Modes:
    """Put the states of several objects together."""
    raws = [modes.raw for modes in found if modes.raw is not None]
    return Modes(
        views=np.concatenate([modes.views for modes in found]),
        target=np.concatenate([modes.target for modes in found]),
        choice=np.concatenate([modes.choice for modes in found]),
        utility=np.concatenate([modes.utility for modes in found]),
        apart=np.concatenate([modes.apart for modes in found]),
        raw=np.concatenate(raws) if raws else None,
    )


def diagnose(modes: Modes, head: str) -> Diagnosis:
    """Judge what a policy says.

    Args:
        modes: Of all states.
        head: Name of its head; `scorer` for the scorer.
    """
    stages = [_stage(modes, int(count)) for count in np.unique(modes.views)]
    lost = _mean(modes.utility[~modes.apart]) - _mean(modes.utility[modes.apart])
    checks = (*_avoided(stages), _averaging(modes, lost), *_head_checks(modes, head, stages))
    worst = max(stages, key=lambda stage: float(stage["target_seam"]))
    return Diagnosis(
        name="output-modes",
        question="Where does the policy's head point, and can it point where the best views are?",
        answer=f"Head {head}: at {worst['views']} views {100 * worst['target_seam']:.0f} % of the "
        f"best views lie near the seam and {100 * worst['choice_seam']:.0f} % of the choices; good "
        f"views lie apart in {100 * share(modes.apart):.0f} % of the states, which costs "
        f"{max(lost, 0.0):.2f} of the range.",
        checks=checks,
        numbers={"head": head, "states": len(modes.views), "stages": stages, "utility_lost": lost},
        tables=(table(stages),),
        plots=plots(modes, stages, head),
    )


def _stage(modes: Modes, count: int) -> dict[str, Any]:
    here = modes.views == count
    said = {"target": modes.target[here], "choice": modes.choice[here]}
    return {
        "views": count,
        "states": int(here.sum()),
        **{f"{who}_seam": share(near_seam(angles)) for who, angles in said.items()},
        **{f"{who}_pole": share(near_pole(angles)) for who, angles in said.items()},
        "apart": share(modes.apart[here]),
        "utility": float(modes.utility[here].mean()),
    }


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


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0
