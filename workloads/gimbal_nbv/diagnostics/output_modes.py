"""Where does the policy's head point, and can it point where the best views are?

Directions are seen from the first view: azimuth runs around its camera's up, 0 and 2 pi at the
first view itself, so the seam of a spherical head lies where a second view hardly ever is, but
third and later ones are. Only a head that names angles can suffer from seam, poles and saturation;
every head can avoid what the targets ask for, and one that averages loses where good answers lie
apart. So those three are compared between targets and choices for all heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.finding import Diagnosis
from gimbal_nbv.diagnostics.output_modes_checks import checks_of, unanswered
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
GOOD = 0.9
LEARNED_AS_COVERAGE = (
    "Best views are those that gain most coverage, not those of the learned target the run was "
    "trained by (states.target: learned_rri)."
)


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

    Utility is NaN where a score of an open candidate is.
    """

    views: NDArray[np.int64]
    target: Values
    choice: Values
    utility: Values
    apart: NDArray[np.bool_]
    raw: Values | None = None

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which answers hold no infinity and no NaN [B]."""
        parts = (self.target, self.choice, self.utility[:, None], self.raw)
        joined = np.column_stack([part for part in parts if part is not None])
        return np.asarray(np.isfinite(joined).all(axis=1))

    def only(self, rows: NDArray[np.bool_]) -> Modes:
        """Return the states that `rows` [B] names."""
        return Modes(
            views=self.views[rows],
            target=self.target[rows],
            choice=self.choice[rows],
            utility=self.utility[rows],
            apart=self.apart[rows],
            raw=None if self.raw is None else self.raw[rows],
        )


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
    answered = ~(np.isnan(scores) & ~used).any(axis=1)
    return Modes(
        views=states.counts,
        target=seen_from_first(protocol, states, best),
        choice=seen_from_first(protocol, states, chosen),
        utility=np.where(answered, utility[rows, chosen], np.nan),
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
    """Judge what a policy says; all but the first check leave out answers that are not finite.

    Args:
        modes: Of all states.
        head: Name of its head; `scorer` for the scorer.
    """
    said = modes.only(modes.finite)
    missing = unanswered(1 - share(modes.finite))
    stages = [_stage(said, int(count)) for count in np.unique(said.views)]
    lost = _mean(said.utility[~said.apart]) - _mean(said.utility[said.apart])
    numbers = {"head": head, "states": len(modes.views), "finite": len(said.views)}
    return Diagnosis(
        name="output-modes",
        question="Where does the policy's head point, and can it point where the best views are?",
        answer=_answer(said, stages, head, lost),
        checks=(missing, *checks_of(said, head, stages, lost)),
        numbers={**numbers, "stages": stages, "utility_lost": lost},
        tables=(table(stages),),
        plots=plots(said, stages, head) if stages else (),
    )


def _answer(said: Modes, stages: Sequence[dict[str, Any]], head: str, lost: float) -> str:
    if not stages:
        return f"Head {head} says nothing that is a number."
    worst = max(stages, key=lambda stage: float(stage["target_seam"]))
    return (
        f"Head {head}: at {worst['views']} views {100 * worst['target_seam']:.0f} % of the "
        f"best views lie near the seam and {100 * worst['choice_seam']:.0f} % of the choices; good "
        f"views lie apart in {100 * share(said.apart):.0f} % of the states, which costs "
        f"{max(lost, 0.0):.2f} of the range."
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


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0
