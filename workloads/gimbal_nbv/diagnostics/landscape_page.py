"""Table, plots and layers of the landscape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gimbal_nbv.diagnostics.drawing import bars, line, points, threshold_line
from gimbal_nbv.diagnostics.finding import Plot, Table

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.landscape import Shape

Stage = Mapping[str, Any]

LAYERS = {
    "gain": "True gain",
    "cd": "CD after it, ×10⁻³",
    "rri": "RRI",
    "score": "Policy score",
}
_COLOURS = ("--c-policy", "--c-farthest", "--c-unknown_ray", "--c-rear_side", "--c-frontier")


def table(stages: Sequence[Stage]) -> Table:
    """Return a row for each number of views taken."""
    keys = ("states", "optima", "most_optima", "spread", "best_gain")
    return Table(
        title="By number of views",
        columns=("Views taken", "States", "Local optima", "Most", "Spread", "Best gain"),
        rows=tuple((stage["views"], *(stage[key] for key in keys)) for stage in stages),
        caption="A local optimum gains more coverage than its six nearest candidates. Spread: "
        "(most - least) / mean of what is still unseen after each open candidate.",
    )


def plots(
    stages: Sequence[Stage], first: Sequence[Shape], names: Sequence[str]
) -> tuple[Plot, ...]:
    """Draw how many local optima states have, how flat they are, and single objects."""
    return (_optima(stages), _flatness(stages), _objects(first, names))


def _optima(stages: Sequence[Stage]) -> Plot:
    return Plot(
        title="Local optima in a state",
        data=tuple(
            bars(
                f"{stage['views']} view{'s' if stage['views'] > 1 else ''}",
                colour,
                list(range(len(stage["optima_histogram"]))),
                [count / stage["states"] for count in stage["optima_histogram"]],
            )
            for stage, colour in zip(stages, _COLOURS, strict=False)
        ),
        layout={
            "barmode": "group",
            "showlegend": True,
            "xaxis": {"title": {"text": "local optima"}, "dtick": 1},
            "yaxis": {"tickformat": ".0%", "title": {"text": "states"}},
        },
        caption="On the graph that joins each candidate with its six nearest.",
    )


def _flatness(stages: Sequence[Stage]) -> Plot:
    views = [stage["views"] for stage in stages]
    return Plot(
        title="How flat it is",
        data=(line("spread", "--c-policy", views, [stage["spread"] for stage in stages]),),
        layout={
            "xaxis": {"title": {"text": "views taken"}, "dtick": 1},
            "yaxis": {"rangemode": "tozero"},
            "shapes": [threshold_line(0.2)],
        },
        caption="Difference between the best and the worst candidate, over the mean of what is "
        "still unseen. The line is the threshold.",
    )


def _objects(first: Sequence[Shape], names: Sequence[str]) -> Plot:
    spread = [float(shape.spread.mean()) for shape in first]
    optima = [float(shape.optima.mean()) for shape in first]
    return Plot(
        title="Object by object, choosing the second view",
        data=(points("object", "--c-policy", spread, optima, names),),
        layout={
            "xaxis": {"title": {"text": "spread"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "local optima"}, "rangemode": "tozero"},
        },
        caption="To the left it hardly matters which view is taken; above, climbing misleads.",
    )
