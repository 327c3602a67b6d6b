"""Tables and plots of the oracle test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.diagnostics.drawing import line, threshold_line
from gimbal_nbv.diagnostics.finding import Plot, Table

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.oracle_test import Trial

Stage = dict[str, Any]


def by_views(stages: Sequence[Stage]) -> Table:
    """Return a row for each number of views taken."""
    return Table(
        title="By number of views",
        columns=(
            "Views taken",
            "States",
            "Antipode wins",
            "Oracle wins",
            "Spread",
            "Spread above floor",
            "Raise CD",
            "Spearman",
            "Teaches",
        ),
        rows=tuple(
            (
                stage["views"],
                stage["states"],
                *(stage[key] for key in ("antipode_wins", "oracle_wins", "spread", "above_floor")),
                stage["raises"],
                stage["spearman"],
                "yes" if stage["teaches"] else "no",
            )
            for stage in stages
        ),
        caption="Spearman: decrease of CD against coverage gain, over candidates. The floor is the "
        "CD of all candidates fused. Teaches: the oracle wins >= .9, at most .1 raise CD, spread "
        "above the floor >= .2.",
    )


def by_object(trials: Sequence[Trial], names: Sequence[str]) -> Table:
    """Return a row an object, at its first decision."""
    return Table(
        title="By object, choosing the second view",
        columns=("Object", "Antipode wins", "Oracle wins", "Spread", "Raise CD", "Spearman"),
        rows=tuple(
            (
                name,
                *(
                    float(np.mean(getattr(t, key)))
                    for key in ("antipode_wins", "oracle_wins", "spread", "raises", "spearman")
                ),
            )
            for name, t in zip(names, trials, strict=True)
        ),
    )


_AXIS = {"title": {"text": "views taken"}, "dtick": 1}


def plots(stages: Sequence[Stage], min_wins: float) -> tuple[Plot, ...]:
    """Draw win rates, and what there is to choose, over the views taken."""
    return (_wins(stages, min_wins), _choice(stages))


def _wins(stages: Sequence[Stage], min_wins: float) -> Plot:
    views = [stage["views"] for stage in stages]
    series = (
        ("antipode", "--c-farthest", "antipode"),
        ("best coverage gain", "--c-policy", "oracle"),
    )
    return Plot(
        title="Good views against the nearest neighbour",
        data=tuple(
            line(
                name,
                colour,
                views,
                [stage[f"{key}_wins"] for stage in stages],
                [stage[f"{key}_ci95"] for stage in stages],
            )
            for name, colour, key in series
        ),
        layout={
            "xaxis": _AXIS,
            "yaxis": {"tickformat": ".0%", "range": [0.4, 1.02]},
            "shapes": [threshold_line(min_wins)],
        },
        caption="Share of states in which the good view leaves the smaller Chamfer distance, "
        "with Wilson's 95 % intervals; the line is the threshold.",
    )


def _choice(stages: Sequence[Stage]) -> Plot:
    views = [stage["views"] for stage in stages]
    series = (
        ("spread above the floor", "--c-policy", "above_floor"),
        ("spread", "--c-farthest", "spread"),
        ("Spearman to coverage gain", "--c-unknown_ray", "spearman"),
        ("raise CD", "--bad", "raises"),
    )
    return Plot(
        title="What there is to choose",
        data=tuple(
            line(name, colour, views, [stage[key] for stage in stages])
            for name, colour, key in series
        ),
        layout={"xaxis": _AXIS, "yaxis": {"rangemode": "tozero"}},
        caption="Spread is (worst - best) / mean of CD over open candidates. It shrinks, "
        "since later views have less left to show.",
    )
