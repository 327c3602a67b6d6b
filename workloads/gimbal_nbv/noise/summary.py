"""From rollouts under noise to numbers: every policy at every level, paired over objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.gap import FEWEST, Interval, difference, gap_closed

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

Values = NDArray[np.float64]

POLICY, BASE, HAND_MADE, TOP = "policy", "farthest", "unknown_ray", "oracle"
LUCKY, EXPECTING = "oracle_cd", "oracle_cd_expected"
"""The oracle on Chamfer distance that knows this very noise, and the one that expects noise."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelRollouts:
    """What all policies did at one level of noise, averaged over first views.

    Attributes:
        axis: clean, depth, rotation_deg or translation.
        level: How strong, in diagonals or degrees.
        objects: Names of the O objects, in order.
        coverage: By policy, after 1..K views [O,K].
        chamfer_e3: By policy, in thousandths of a diagonal [O,K].
        f_score: By policy [O,K].
    """

    axis: str
    level: float
    objects: tuple[str, ...]
    coverage: Mapping[str, Values]
    chamfer_e3: Mapping[str, Values]
    f_score: Mapping[str, Values]

    @property
    def label(self) -> str:
        """Name of the level."""
        return self.axis if self.axis == "clean" else f"{self.axis}={self.level:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyNumbers:
    """One policy at one level, with 95 % intervals over objects.

    Attributes:
        auc: Mean coverage after 1..K views.
        over_farthest: Paired difference of AUC to `farthest`.
        gap_closed: Share of the way from `farthest` to the coverage oracle.
        cd_e3: Chamfer distance after K views in thousandths of a diagonal.
        cd_saved: Share of farthest's Chamfer distance after K views that is saved, paired.
        f_score: F-score after K views.
    """

    auc: Interval
    over_farthest: Interval
    gap_closed: Interval
    cd_e3: Interval
    cd_saved: Interval
    f_score: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelNumbers:
    """One level.

    Attributes:
        axis: clean, depth, rotation_deg or translation.
        level: How strong.
        label: Its name.
        policies: By policy.
        over_unknown_ray: AUC of the learned policy over the best hand-made one, paired.
        cd_saved: Share of the Chamfer distance after so many views that choosing by its expected
            decrease saves over choosing by coverage, both knowing the object.
        cd_saved_lucky: The same after all views, knowing also this very draw of the noise.
    """

    axis: str
    level: float
    label: str
    policies: Mapping[str, PolicyNumbers]
    over_unknown_ray: Interval
    cd_saved: Mapping[int, Interval]
    cd_saved_lucky: Interval

    @property
    def over_farthest(self) -> Interval:
        """AUC of the learned policy over `farthest`."""
        return self.policies[POLICY].over_farthest


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """All levels, the clean one first.

    Attributes:
        objects: How many objects.
        first_views: Starts of each.
        budget: Views K.
        levels: Numbers of each level.
    """

    objects: int
    first_views: int
    budget: int
    levels: tuple[LevelNumbers, ...]

    @property
    def has_intervals(self) -> bool:
        """Whether intervals over objects say anything."""
        return self.objects >= FEWEST

    def along(self, axis: str) -> list[LevelNumbers]:
        """Return the clean level and those of an axis, weakest first."""
        return [one for one in self.levels if one.axis in ("clean", axis)]


def read_levels(rows: BlockReader) -> tuple[list[LevelRollouts], int]:
    """Read stage `noise`; return its levels and the number of first views."""
    wanted = ("axis", "level", "object_id", "policy", "coverage", "chamfer", "f_score")
    table = rows.fetch(range(len(rows)), wanted)
    axes, names, policies = (
        np.asarray(table[key], dtype=str) for key in ("axis", "object_id", "policy")
    )
    means = {key: np.asarray(table[key]).mean(axis=1) for key in ("coverage", "chamfer", "f_score")}
    objects = tuple(dict.fromkeys(names.tolist()))
    found = []
    for axis, level in dict.fromkeys(zip(axes.tolist(), table["level"].tolist(), strict=True)):
        here = (axes == axis) & (np.asarray(table["level"]) == level)
        places = {
            policy: [
                int(np.flatnonzero(here & (policies == policy) & (names == o))[0]) for o in objects
            ]
            for policy in dict.fromkeys(policies.tolist())
        }
        found.append(
            LevelRollouts(
                axis=axis,
                level=level,
                objects=objects,
                coverage={p: means["coverage"][rows_] for p, rows_ in places.items()},
                chamfer_e3={p: 1e3 * means["chamfer"][rows_] for p, rows_ in places.items()},
                f_score={p: means["f_score"][rows_] for p, rows_ in places.items()},
            )
        )
    order = ("clean", "depth", "rotation_deg", "translation")
    found.sort(key=lambda one: (order.index(one.axis), one.level))
    return found, int(np.asarray(table["coverage"]).shape[1])


def summarise(levels: tuple[Sequence[LevelRollouts], int], *, draws: int, seed: int) -> Summary:
    """Return the numbers of every level.

    Args:
        levels: See `read_levels`.
        draws: Bootstrap draws over objects, the same for all levels and policies.
        seed: Seed of the draws.
    """
    found, first_views = levels
    return Summary(
        objects=len(found[0].objects),
        first_views=first_views,
        budget=found[0].coverage[POLICY].shape[1],
        levels=tuple(_level(one, draws, seed) for one in found),
    )


def _level(one: LevelRollouts, draws: int, seed: int) -> LevelNumbers:
    auc = {name: values.mean(axis=1) for name, values in one.coverage.items()}
    zero, budget = np.zeros(len(one.objects)), one.coverage[POLICY].shape[1]

    def mean(values: Values) -> Interval:
        return difference(values, zero, draws=draws, seed=seed)

    return LevelNumbers(
        axis=one.axis,
        level=one.level,
        label=one.label,
        policies={
            name: PolicyNumbers(
                auc=mean(values),
                over_farthest=difference(values, auc[BASE], draws=draws, seed=seed),
                gap_closed=gap_closed(values, auc[BASE], auc[TOP], draws=draws, seed=seed),
                cd_e3=mean(one.chamfer_e3[name][:, -1]),
                cd_saved=_saved(one, (name, BASE), budget, draws, seed),
                f_score=mean(one.f_score[name][:, -1]),
            )
            for name, values in auc.items()
        },
        over_unknown_ray=difference(auc[POLICY], auc[HAND_MADE], draws=draws, seed=seed),
        cd_saved={
            views: _saved(one, (EXPECTING, TOP), views, draws, seed)
            for views in sorted({min(3, budget), budget})
        },
        cd_saved_lucky=_saved(one, (LUCKY, TOP), budget, draws, seed),
    )


def _saved(
    one: LevelRollouts, pair: tuple[str, str], views: int, draws: int, seed: int
) -> Interval:
    """Return the mean over objects of the share of the second's CD that the first saves."""
    first, second = (one.chamfer_e3[name][:, views - 1] for name in pair)
    share = (second - first) / np.maximum(second, 1e-12)
    return difference(share, np.zeros_like(share), draws=draws, seed=seed)
