"""Does the loss tell good views from bad ones, before anything is trained?

If the Chamfer distance of the reconstruction is not smaller after an obviously good view than after
an obviously bad one, no policy can be taught by it, and every later failure would be looked for in
the wrong place. Nothing here is learned: states lie on the farthest schedule, the good view is the
antipode (or the one of largest coverage gain), the bad one the nearest neighbour.

The loss is that of fused depth. Where the run trained a multi-view model, that of its points is
tested beside it, on fewer objects and first views: every candidate takes a pass of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench, BenchObject
from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Plot, Table
from gimbal_nbv.diagnostics.oracle_test_page import by_object, by_views, plots
from gimbal_nbv.diagnostics.prefixes import farthest_sets, opposite_and_beside, own_starts
from gimbal_nbv.diagnostics.reconstructions import few, has_multiview, multiview_sets
from gimbal_nbv.diagnostics.statistics import wilson
from gimbal_nbv.metrics import rank_correlation
from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.states import States
from gimbal_nbv.view_sensitivity import FusedDepth, SetReconstruction

Values = NDArray[np.float64]

STAGES = 5
STARTS = 16
NETWORK_STARTS = 2
"""First views of an object where a network is tested."""
MIN_WINS, MAX_RAISE, MIN_SPREAD = 0.9, 0.1, 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """All states of N views of one object, B of them.

    Attributes:
        antipode_wins: Whether the antipode leaves less Chamfer distance than the neighbour [B].
        oracle_wins: Whether the view of largest coverage gain does [B].
        spread: (worst - best) / mean of the Chamfer distance after each open candidate [B].
        raises: Share of open candidates that raise the Chamfer distance, or leave none [B].
        spearman: Rank correlation of what they lower it by with the coverage they gain [B].
        above_floor: Like `spread`, of the part that more views can still take away [B].
    """

    antipode_wins: NDArray[np.bool_]
    oracle_wins: NDArray[np.bool_]
    spread: Values
    raises: Values
    spearman: Values
    above_floor: Values


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Test the loss of fused depth, and of the multi-view model if any, on held-out objects.

    Raises:
        CannotTell: The run holds no object out.
    """
    objects = list(bench.objects())
    if not objects:
        raise CannotTell("the run holds no object out", "raise data.test_shapes")
    trials = [try_object(one.oracle, own_starts(bench, one, STARTS)) for one in objects]
    found = diagnose(trials, [one.object_id for one in objects])
    return with_network(found, bench, objects, progress) if has_multiview(bench) else found


def with_network(
    found: Diagnosis, bench: Bench, objects: Sequence[BenchObject], progress: Progress
) -> Diagnosis:
    """Return a diagnosis of fused depth with that of the run's multi-view model beside it."""
    some = few(bench, objects)
    network = multiview_sets(bench, some)
    trials = []
    for done, one in enumerate(some, start=1):
        starts = own_starts(bench, one, NETWORK_STARTS)
        trials.append(try_object(one.oracle, starts, reconstruction=network))
        progress(done, len(some), "objects")
    said = diagnose(trials, [one.object_id for one in some])
    return replace(
        found,
        answer=f"{found.answer} Of the multi-view model: {said.answer}",
        checks=(*found.checks, *(replace(c, name=f"multiview: {c.name}") for c in said.checks)),
        numbers={**found.numbers, "multiview": said.numbers},
        tables=(*found.tables, *_of_network(said.tables)),
        plots=(*found.plots, *_of_network(said.plots)),
    )


Shown = TypeVar("Shown", Table, Plot)


def _of_network(parts: Sequence[Shown]) -> tuple[Shown, ...]:
    return tuple(replace(part, title=f"Multi-view model: {part.title}") for part in parts)


def try_object(
    oracle: OracleMap,
    starts: Sequence[int],
    stages: int = STAGES,
    reconstruction: SetReconstruction | None = None,
) -> list[Trial]:
    """Try every candidate from the farthest schedule of each first view, for N = 1..stages."""
    longest = farthest_sets(oracle.protocol, starts, stages)
    return [
        try_states(oracle, longest[:, : n + 1], reconstruction)
        for n in range(min(stages, oracle.views - 2))
    ]


def try_states(
    oracle: OracleMap, sets: Sets, reconstruction: SetReconstruction | None = None
) -> Trial:
    """Try every open candidate from view sets [B,N] of one object.

    Args:
        oracle: The object.
        sets: What was taken.
        reconstruction: Whose Chamfer distance is the loss; that of fused depth if None.
    """
    judged = FusedDepth() if reconstruction is None else reconstruction
    before = judged.chamfer(oracle, sets)[:, None]
    lowered, gained = judged.chamfer_ratios(oracle, sets) * before, oracle.gains(sets)
    used = States(oracle, sets).used
    opened = ~used
    after = before - lowered
    far, beside = opposite_and_beside(oracle.protocol, sets)
    best = np.where(used, -np.inf, gained).argmax(axis=1)
    rows = np.arange(len(sets))
    worst = after.max(axis=1, where=opened, initial=-np.inf)
    spread = worst - after.min(axis=1, where=opened, initial=np.inf)
    mean = after.mean(axis=1, where=opened)
    above = np.maximum(mean - oracle.floor(), 1e-12)
    return Trial(
        antipode_wins=after[rows, far] < after[rows, beside],
        oracle_wins=after[rows, best] < after[rows, beside],
        spread=spread / np.maximum(mean, 1e-12),
        raises=(~(lowered >= 0)).mean(axis=1, where=opened),
        spearman=rank_correlation(lowered, gained, used),
        above_floor=spread / above,
    )


def diagnose(trials: Sequence[Sequence[Trial]], names: Sequence[str]) -> Diagnosis:
    """Judge the trials of several objects.

    Args:
        trials: By object, then by views taken.
        names: The objects.
    """
    stages = [_stage(n + 1, [t[n] for t in trials]) for n in range(len(trials[0]))]
    first = stages[0]
    return Diagnosis(
        name="oracle-test",
        question="Does the loss tell good views from bad ones, before anything is trained?",
        answer=f"The antipode beats the nearest neighbour in {100 * first['antipode_wins']:.1f} % "
        f"of {first['states']} first views; {100 * first['raises']:.1f} % of the candidates raise "
        f"the Chamfer distance, and the spread between best and worst is "
        f"{100 * first['spread']:.0f} % of its mean.",
        checks=_checks(stages),
        numbers={"objects": len(trials), "stages": stages},
        tables=(by_views(stages), by_object([trial[0] for trial in trials], names)),
        plots=plots(stages, MIN_WINS),
    )


def _stage(views: int, trials: Sequence[Trial]) -> dict[str, Any]:
    def joined(name: str) -> Values:
        return np.concatenate([getattr(trial, name) for trial in trials]).astype(float)

    wins, oracle_wins = joined("antipode_wins"), joined("oracle_wins")
    numbers = ("spread", "above_floor", "raises", "spearman")
    means = {name: float(joined(name).mean()) for name in numbers}
    return {
        "views": views,
        "states": len(wins),
        "antipode_wins": float(wins.mean()),
        "antipode_ci95": wilson(int(wins.sum()), len(wins)),
        "oracle_wins": float(oracle_wins.mean()),
        "oracle_ci95": wilson(int(oracle_wins.sum()), len(wins)),
        **means,
        "teaches": bool(
            oracle_wins.mean() >= MIN_WINS
            and means["raises"] <= MAX_RAISE
            and means["above_floor"] >= MIN_SPREAD
        ),
    }


def _checks(stages: Sequence[dict[str, Any]]) -> tuple[Check, ...]:
    first = stages[0]
    worst = max(stages, key=lambda stage: (np.isnan(stage["raises"]), float(stage["raises"])))
    states = sum(stage["states"] for stage in stages)
    wins = round(sum(stage["oracle_wins"] * stage["states"] for stage in stages))
    blame = "the loss does not see what coverage sees: look at the reconstruction and its poses"
    return (
        Check(
            name="antipode beats nearest neighbour",
            value=first["antipode_wins"],
            op=">=",
            threshold=MIN_WINS,
            ci95=first["antipode_ci95"],
            hint=blame,
        ),
        Check(
            name="best coverage gain beats nearest neighbour, all N",
            value=wins / states,
            op=">=",
            threshold=MIN_WINS,
            ci95=wilson(wins, states),
            hint=blame,
        ),
        Check(
            name="candidates that raise CD, worst N",
            value=worst["raises"],
            op="<=",
            threshold=MAX_RAISE,
            hint=f"at N={worst['views']} many views make the reconstruction worse: teach coverage "
            "there (states.target: coverage)",
        ),
        Check(
            name="spread of CD over candidates",
            value=first["spread"],
            op=">=",
            threshold=MIN_SPREAD,
            hint="all views are nearly alike, so there is nothing to choose: use harder objects",
        ),
    )
