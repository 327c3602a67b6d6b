"""Tables and plots of the variance report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.pages.markup import plot_text
from gimbal_nbv.diagnostics.drawing import bars, threshold_line
from gimbal_nbv.diagnostics.finding import Plot, Table

if TYPE_CHECKING:
    from gimbal_nbv.diagnostics.variance_report import LossName, Spread, TwoPlays


def tables(
    spreads: Mapping[LossName, Spread],
    labels: Mapping[LossName, str],
    plays: Sequence[TwoPlays],
    names: Sequence[str],
) -> tuple[Table, ...]:
    """Return a row a loss, and a row an object for the loss that the run descends."""
    return (_by_loss(spreads, labels), _by_object(plays, names))


def _by_loss(spreads: Mapping[LossName, Spread], labels: Mapping[LossName, str]) -> Table:
    return Table(
        title="By loss",
        columns=(
            "Loss",
            "Swing / mean",
            "Gap / swing",
            "First view's share",
            "Samples",
            "Samples for a fifth",
            "Samples, mixed objects",
        ),
        rows=tuple(
            (
                labels[loss],
                spread.relative,
                spread.gap_in_noise,
                spread.first_view_share,
                _ceil(spread.samples),
                _ceil(spread.samples_fifth),
                _ceil(spread.samples_mixed),
            )
            for loss, spread in spreads.items()
        ),
        caption="Swing: standard deviation over first views at the best second view; of a "
        "regret, which is 0 there, at the antipode. Gap: what the antipode leaves to gain. "
        "First view's share: of the variance over first views and candidates.",
    )


def _by_object(plays: Sequence[TwoPlays], names: Sequence[str]) -> Table:
    return Table(
        title="By object, in the loss that the run descends",
        columns=("Object", "Best", "Antipode", "Swing of the antipode"),
        rows=tuple(
            (name, float(p.best.mean()), float(p.antipode.mean()), float(p.antipode.std()))
            for name, p in zip(names, plays, strict=True)
        ),
    )


def plots(
    spreads: Mapping[LossName, Spread],
    labels: Mapping[LossName, str],
    chamfer: Sequence[TwoPlays],
    names: Sequence[str],
    batch: int,
) -> tuple[Plot, ...]:
    """Draw the samples each loss needs, and one object's CD over all its first views."""
    known = [loss for loss in spreads if math.isfinite(spreads[loss].samples_fifth)]
    xs = [labels[loss] for loss in known]
    whole = bars("the whole gap", "--c-policy", xs, [spreads[n].samples for n in known])
    fifth = bars("a fifth of it", "--c-farthest", xs, [spreads[n].samples_fifth for n in known])
    return (
        Plot(
            title="Samples that show the gap at 2 sigma",
            data=(whole, fifth),
            layout={
                "barmode": "group",
                "showlegend": True,
                "yaxis": {
                    "type": "log",
                    "title": {"text": "samples"},
                    "tickformat": "~s",
                    "dtick": "D2",
                },
                "shapes": [threshold_line(float(batch))],
                "xaxis": {
                    "tickangle": 0,
                    "tickvals": xs,
                    "ticktext": [x.replace(" of ", " of<br>") for x in xs],
                },
            },
            caption=f"On one object. The line is this run's batch of {batch}; bars above it need "
            "a larger one.",
        ),
        _one_object(chamfer, names),
    )


def _one_object(plays: Sequence[TwoPlays], names: Sequence[str]) -> Plot:
    """Draw the object whose swing is the median one."""
    swing = [float(play.best.std() / max(play.best.mean(), 1e-12)) for play in plays]
    middle = int(np.argsort(swing)[len(swing) // 2])
    play = plays[middle]
    order = np.argsort(play.best)
    return Plot(
        title=f"CD after two views of {plot_text(names[middle][:60])}",
        data=(
            _dots("antipode", "--c-farthest", 1e3 * play.antipode[order]),
            _dots("best second view", "--c-policy", 1e3 * play.best[order]),
        ),
        layout={
            "showlegend": True,
            "xaxis": {"title": {"text": "first views, sorted"}},
            "yaxis": {"rangemode": "tozero", "title": {"text": "CD, ×10⁻³ diagonals"}},
        },
        caption="One dot a first view. Even a perfect policy's loss runs along the lower dots as "
        "first views are drawn; what learning can win is the distance between both.",
    )


def _dots(name: str, colour: str, values: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(range(len(values))),
        "y": np.round(values, 4).tolist(),
        "marker": {"color": f"var({colour})", "size": 7},
        "hovertemplate": f"{name}: %{{y:.2f}}<extra></extra>",
    }


def _ceil(samples: float) -> int | None:
    return math.ceil(samples) if math.isfinite(samples) else None
