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


def plots(stages: Sequence[Stage], min_wins: float) -> tuple[Plot, ...]:
    """Draw win rates, and what there is to choose, over the views taken."""
    views = [stage["views"] for stage in stages]

    def of(key: str) -> list[float]:
        return [float(stage[key]) for stage in stages]

    def bounds(key: str) -> list[Any]:
        return [stage[key] for stage in stages]

    wins = (
        line("antipode", "--c-farthest", views, of("antipode_wins"), bounds("antipode_ci95")),
        line("best coverage gain", "--c-policy", views, of("oracle_wins"), bounds("oracle_ci95")),
    )
    lines = (
        line("spread above the floor", "--c-policy", views, of("above_floor")),
        line("spread", "--c-farthest", views, of("spread")),
        line("Spearman to coverage gain", "--c-unknown_ray", views, of("spearman")),
        line("raise CD", "--bad", views, of("raises")),
    )
    axis = {"title": {"text": "views taken"}, "dtick": 1}
    return (
        Plot(
            title="Good views against the nearest neighbour",
            data=wins,
            layout={
                "xaxis": axis,
                "yaxis": {"tickformat": ".0%", "range": [0.4, 1.02]},
                "showlegend": True,
                "shapes": [threshold_line(min_wins)],
            },
            caption="Share of states in which the good view leaves the smaller Chamfer distance, "
            "with Wilson's 95 % intervals; the line is the threshold.",
        ),
        Plot(
            title="What there is to choose",
            data=lines,
            layout={"xaxis": axis, "yaxis": {"rangemode": "tozero"}, "showlegend": True},
            caption="Spread is (worst - best) / mean of CD over open candidates. It shrinks, "
            "since later views have less left to show.",
        ),
    )
