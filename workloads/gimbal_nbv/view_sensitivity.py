"""Does a reconstruction improve with every view? The measurement, and the gate it decides.

A learned reconstruction can get worse by a view that shows something new; as a target it then
teaches noise. So it is a target only at stages (numbers of views taken) where, on objects it was
not trained on, few candidates make it worse and its ranking agrees with the coverage gained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import spearmanr

from gimbal_nbv.completion_settings import SensitivitySettings
from gimbal_nbv.oracle import OracleMap, Sets, Values
from gimbal_nbv.states import States

_ROUNDING = 1e-6
"""A rise of the Chamfer distance by a smaller share than this is rounding, not worse."""

SCHEDULES = ("farthest", "random")


class SetReconstruction(Protocol):
    """A reconstruction whose quality is known for every view set of an oracle map."""

    def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the Chamfer distance of each set [B]."""
        ...

    def chamfer_ratios(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the share every candidate would take away of each set's distance [B,M]."""
        ...


class FusedDepth:
    """Depth fusion as a `SetReconstruction`: the oracle map knows it exactly."""

    def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the Chamfer distance of each set [B]."""
        return oracle.chamfer(sets)

    def chamfer_ratios(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the share every candidate would take away of each set's distance [B,M]."""
        return oracle.chamfer_ratios(sets)


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """The Chamfer distance over the number of views.

    Attributes:
        chamfer: After 1..K views, in diagonals [objects, K].
        repeated: Relative change after taking the newest view once more [objects, K].
    """

    chamfer: Values
    repeated: Values

    @property
    def worsening(self) -> float:
        """Share of added views that made it worse, or that left no distance to compare."""
        before, after = self.chamfer[:, :-1], self.chamfer[:, 1:]
        return float((~(after <= before * (1 + _ROUNDING))).mean())

    @property
    def mean_repeat(self) -> float:
        """Mean relative change, whatever its sign, by a view that was there already."""
        return float(np.abs(self.repeated).mean())

    @property
    def largest_repeat(self) -> float:
        """Largest relative change by a view that was there already."""
        return float(np.abs(self.repeated).max())


@dataclass(frozen=True, kw_only=True, slots=True)
class StageFinding:
    """What the candidates of states with so many views do.

    Attributes:
        views: Views N taken before.
        states: States measured.
        worsening: Share of open candidates that raise the Chamfer distance.
        spearman: Mean rank correlation of the share taken away with the coverage gained; NaN where
            no state has two different values.
    """

    views: int
    states: int
    worsening: float
    spearman: float


def schedule(oracle: OracleMap, name: str, length: int, rng: np.random.Generator) -> Sets:
    """Return an order of views [length]: `farthest` or `random`, from a random first view."""
    order = rng.permutation(oracle.views)[:length].astype(np.int32)
    if name == "random":
        return order
    directions = oracle.protocol.directions
    views = [int(order[0])]
    while len(views) < length:
        nearest = (directions @ directions[views].T).max(axis=1)
        nearest[views] = np.inf
        views.append(int(nearest.argmin()))
    return np.asarray(views, dtype=np.int32)


def curves(
    reconstruction: SetReconstruction, oracles: Iterable[OracleMap], name: str, length: int
) -> Curves:
    """Measure one schedule on objects; the n-th object starts from the same view every time.

    Args:
        reconstruction: What is measured.
        oracles: The objects.
        name: Of `SCHEDULES`.
        length: Views K.
    """
    chamfer, repeated = [], []
    for number, oracle in enumerate(oracles):
        order = schedule(oracle, name, length, np.random.default_rng(number))
        sets = np.where(np.tri(length, dtype=np.bool_), order, np.int32(-1))
        chamfer.append(reconstruction.chamfer(oracle, sets))
        again = reconstruction.chamfer(oracle, np.column_stack([sets, order]))
        repeated.append(again / np.maximum(chamfer[-1], 1e-12) - 1)
    return Curves(chamfer=np.stack(chamfer), repeated=np.stack(repeated))


def stage_findings(
    reconstruction: SetReconstruction, batches: Iterable[States]
) -> tuple[StageFinding, ...]:
    """Try every candidate of every state and sum up by the number of views taken.

    Args:
        reconstruction: What is measured.
        batches: States of objects it was not trained on.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for states in batches:
        ratios = reconstruction.chamfer_ratios(states.oracle, states.sets)
        gains, open_ = states.oracle.gains(states.sets), ~states.used
        for row, count in enumerate(states.counts):
            mine, covered = ratios[row, open_[row]], gains[row, open_[row]]
            worse = float((~(mine >= -_ROUNDING)).mean())
            found.setdefault(int(count), []).append((worse, rank_correlation(mine, covered)))
    return tuple(_sum_up(views, rows) for views, rows in sorted(found.items()))


def _sum_up(views: int, rows: Sequence[tuple[float, float]]) -> StageFinding:
    worse, ranks = np.array(rows).T
    known = ranks[~np.isnan(ranks)]
    return StageFinding(
        views=views,
        states=len(rows),
        worsening=float(worse.mean()),
        spearman=float(known.mean()) if len(known) else math.nan,
    )


def rank_correlation(first: Values, second: Values) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(spearmanr(first, second).statistic)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageGate:
    """Whether the learned reconstruction may be a target after so many views.

    Attributes:
        finding: What was measured.
        passed: Whether it may.
        coverage_weight: lambda in `lambda * coverage gain + (1 - lambda) * learned RRI`.
    """

    finding: StageFinding
    passed: bool
    coverage_weight: float


def gate(findings: Sequence[StageFinding], settings: SensitivitySettings) -> tuple[StageGate, ...]:
    """Decide stage by stage; a correlation that could not be measured does not pass."""
    gates = []
    for finding in findings:
        passed = (
            finding.worsening <= settings.max_worsening
            and finding.spearman >= settings.min_spearman
        )
        weight = settings.blend if passed else 1.0
        gates.append(StageGate(finding=finding, passed=passed, coverage_weight=weight))
    return tuple(gates)


def coverage_weights(gates: Sequence[StageGate], longest: int) -> tuple[float, ...]:
    """Return lambda of stages 1..longest; 1 where a stage was not measured."""
    known = {one.finding.views: one.coverage_weight for one in gates}
    return tuple(known.get(views, 1.0) for views in range(1, longest + 1))


def blended_gains(
    states: States, completion: SetReconstruction, lambdas: Sequence[float]
) -> Values:
    """Return lambda * coverage gain + (1 - lambda) * learned RRI of every candidate [B,M].

    Both are shares (of the samples, of the Chamfer distance), so neither is scaled. A view already
    taken is worth 0. States whose lambda is 1 cost no reconstruction.

    Args:
        states: States of one object.
        completion: The learned reconstruction.
        lambdas: Weight of the coverage gain after 1, 2, ... views; 1 beyond their end.
    """
    padded = np.array([*lambdas, 1.0])
    weight = padded[np.minimum(states.counts - 1, len(lambdas))]
    gains = states.oracle.gains(states.sets)
    learned = np.flatnonzero(weight < 1)
    if len(learned):
        ratios = completion.chamfer_ratios(states.oracle, states.sets[learned])
        share = weight[learned, None]
        gains[learned] = share * gains[learned] + (1 - share) * ratios
    return np.where(states.used, 0.0, gains)
