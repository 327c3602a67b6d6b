"""The tables and the figure of the gradient report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_nbv.diagnostics.drawing import line
from gimbal_nbv.diagnostics.finding import Plot, Table
from gimbal_nbv.diagnostics.gradient_agreement import Agreement

BINS = 20
_COLOURS = ("--c-policy", "--c-farthest", "--c-unknown_ray")


def parts_table(parts: Mapping[str, Mapping[str, float]]) -> tuple[Table, ...]:
    """Return one row a part of the policy; no table without a training."""
    if not parts:
        return ()
    rows = tuple(
        (
            name,
            int(part["parameters"]),
            part["norm"],
            part["without_gradient"],
            "unknown" if part["dead_tensors"] is None else part["dead_tensors"],
            part["nan_share"],
            "unknown" if part["update_ratio"] is None else part["update_ratio"],
        )
        for name, part in parts.items()
    )
    return (
        Table(
            title="What reached the weights during training",
            columns=(
                "part",
                "weights",
                "gradient norm",
                "share without",
                "tensors without",
                "share NaN",
                "update / weights",
            ),
            rows=rows,
            caption="Medians over the training; NaN the worst of all steps looked at.",
        ),
    )


def agreement_table(numbers: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row for each number of views taken."""
    rows = tuple(
        (
            n["views"],
            n["triples"],
            n["cosine"],
            n["cosine_median"],
            n["sign_rate"],
            n["length_ratio_median"],
        )
        for n in numbers
    )
    return Table(
        title="The detached gradient and the true one",
        columns=("views taken", "places", "cosine", "median", "share positive", "length ratio"),
        rows=rows,
        caption="True: central differences of the loss with the view rendered anew. The detached "
        "gradient knows only how the same pixels would lie if they were labelled with another "
        "pose.",
    )


def agreement_plot(stages: Sequence[Agreement]) -> Plot:
    """Return how the cosines are spread, one line for each number of views taken."""
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round(3).tolist()
    data = []
    for taken, (found, colour) in enumerate(zip(stages, _COLOURS, strict=False), start=1):
        counts = np.histogram(found.cosine, bins=edges)[0]
        shares = (counts / max(counts.sum(), 1)).tolist()
        data.append(line(f"{taken} view{'s' if taken > 1 else ''} taken", colour, middles, shares))
    return Plot(
        title="Cosine of the detached and the true gradient",
        data=tuple(data),
        layout={
            "xaxis": {"title": {"text": "cosine"}, "range": [-1, 1]},
            "yaxis": {"title": {"text": "share of places"}, "rangemode": "tozero"},
            "showlegend": True,
        },
        caption="A usable gradient has its mass near 1. Mass left of 0 are places where a step "
        "along the detached gradient makes the loss larger.",
    )
