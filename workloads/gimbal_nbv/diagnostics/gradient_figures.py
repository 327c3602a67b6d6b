"""The tables and the figure of the gradient report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal_nbv.diagnostics.finding import Plot, Table
from gimbal_nbv.diagnostics.gradient_agreement import Agreement

BINS = 20


def parts_table(parts: Mapping[str, Mapping[str, float]]) -> tuple[Table, ...]:
    """Return one row a part of the policy; no table without a training."""
    if not parts:
        return ()
    rows = tuple(
        (
            name,
            int(part["parameters"]),
            f"{part['norm']:.2e}",
            f"{100 * part['without_gradient']:.1f} %",
            f"{100 * part['nan_share']:.1f} %",
            f"{part['update_ratio']:.1e}",
        )
        for name, part in parts.items()
    )
    return (
        Table(
            title="What reached the weights during training",
            columns=("part", "weights", "gradient norm", "without", "NaN", "update / weights"),
            rows=rows,
            caption="Medians over the training, NaN the worst of all steps looked at.",
        ),
    )


def agreement_table(numbers: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row for each number of views taken."""
    rows = tuple(
        (
            n["views"],
            n["triples"],
            f"{n['cosine']:.2f}",
            f"{n['cosine_median']:.2f}",
            f"{100 * n['sign_rate']:.0f} %",
            f"{n['length_ratio_median']:.2f}",
        )
        for n in numbers
    )
    return Table(
        title="The detached gradient and the true one",
        columns=("views taken", "places", "cosine", "median", "positive", "length ratio"),
        rows=rows,
        caption="True: central differences of the loss with the view rendered anew. The detached "
        "gradient knows only how the same pixels would lie if they were labelled with another "
        "pose; the more views there are, the less that says.",
    )


def agreement_plot(stages: Sequence[Agreement]) -> Plot:
    """Return how the cosines are spread, one line for each number of views taken."""
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    data = []
    for taken, found in enumerate(stages, start=1):
        counts = np.histogram(found.cosine, bins=edges)[0]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "line": {"shape": "hvh"},
                "name": f"{taken} view{'s' if taken > 1 else ''} taken",
                "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
                "y": (counts / max(counts.sum(), 1)).tolist(),
            }
        )
    return Plot(
        title="Cosine of the detached and the true gradient",
        data=tuple(data),
        layout={
            "xaxis": {"title": "cosine", "range": [-1, 1]},
            "yaxis": {"title": "share of places", "rangemode": "tozero"},
        },
        caption="A usable gradient has its mass near 1. Mass left of 0 are places where a step "
        "along the detached gradient makes the loss larger.",
    )
